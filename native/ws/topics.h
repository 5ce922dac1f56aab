// Topics of one server: who subscribed to what, and messages to all of them, each encoded once. Thread: the reactor's.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/lazy_vector.h"
#include "reactor/reactor.h"
#include "ws/deflate.h"

namespace gammaloop {

class Publication;
class Topic;

// One who may subscribe. Leaves its topics when it is destroyed.
class Subscriber {
 public:
  virtual void deliver(const Publication& publication) = 0;
  // After a publication that this one had no room for: may close, and unsubscribe.
  virtual void settleDelivery() = 0;

 protected:
  ~Subscriber() = default;

 private:
  friend class TopicTable;
  struct Place {
    Topic* topic;
    size_t index;
  };
  LazyVector<Place> places_;
};

// A message on its way to many: its frames are made once, each at first need, in memory that outlives the flush phase.
// Those who cannot be sent it at once keep one copy between them.
class Publication {
 public:
  Publication(Reactor& reactor, DeflateStreams& streams, std::vector<uint8_t>& scratch, std::span<const uint8_t> bytes,
              bool binary, bool compress)
      : reactor_(reactor), streams_(streams), scratch_(scratch), bytes_(bytes), binary_(binary), compress_(compress) {}

  std::span<const uint8_t> bytes() const { return bytes_; }
  bool binary() const { return binary_; }
  bool compress() const { return compress_; }
  // The whole frame; compressed as `options` say, without takeover.
  SharedFrame& frame(const DeflateOptions& options) const;

 private:
  struct Variant {
    uint8_t windowBits;  // 0: not compressed
    SharedFrame* frame;
  };
  SharedFrame& build(std::span<const uint8_t> payload, bool rsv1) const;

  Reactor& reactor_;
  DeflateStreams& streams_;
  std::vector<uint8_t>& scratch_;
  std::span<const uint8_t> bytes_;
  bool binary_;
  bool compress_;
  mutable std::vector<Variant> variants_;
};

class TopicTable {
 public:
  void subscribe(Subscriber& subscriber, std::string_view name);
  void unsubscribe(Subscriber& subscriber, std::string_view name);
  void leaveAll(Subscriber& subscriber);
  // To all but `from`.
  void publish(std::string_view name, const Publication& publication, const Subscriber* from);
  // One that could not take what is being published.
  void deferSettling(Subscriber& subscriber) { unsettled_.push_back(&subscriber); }
  size_t subscriberCount(std::string_view name) const;
  ~TopicTable();
  TopicTable();
  TopicTable(const TopicTable&) = delete;
  TopicTable& operator=(const TopicTable&) = delete;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
  };
  void leave(Subscriber& subscriber, size_t place);

  std::unordered_map<std::string, std::unique_ptr<Topic>, Hash, std::equal_to<>> topics_;
  std::vector<Subscriber*> unsettled_;
};

}  // namespace gammaloop
