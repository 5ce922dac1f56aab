// Inbox: messages (bytes) from any thread of the process to one receiver, who is found by a number and woken by its
// doorbell. Any number of messages before the receiver looks cost one ring.
//
// Owned by the receiver. Thread: post() any; the rest the receiver's.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/doorbell.h"

namespace gammaloop {

class Inbox {
 public:
  explicit Inbox(std::shared_ptr<Doorbell> doorbell);
  ~Inbox() { close(); }
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  uint32_t id() const { return id_; }
  // Puts a message into the inbox of that number. False: there is none (any more).
  static bool post(uint32_t id, std::span<const uint8_t> message);
  // Every message since the last call, in the order of coming, each behind its length (32 bits, as the machine has
  // them).
  std::vector<uint8_t> takeAll();
  // Nothing comes from here on; what has not been taken is dropped. Idempotent.
  void close();

 private:
  struct Mailbox {
    std::mutex mutex;
    std::vector<uint8_t> messages;
    std::shared_ptr<Doorbell> doorbell;  // nullptr: closed
  };
  struct Directory;

  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  uint32_t id_ = 0;
};

}  // namespace gammaloop
