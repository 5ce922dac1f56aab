// permessage-deflate (RFC 7692) for the messages of one engine: streams are kept and shared where no context is taken
// over from message to message, so that a connection costs nothing between its messages. No I/O. Owned by WsContext;
// its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sys/zlib_streams.h"

namespace gammaloop {

// As negotiated, and how to compress.
struct DeflateOptions {
  bool enabled = false;
  bool serverTakeover = false;  // each side keeps its window from message to message
  bool clientTakeover = false;
  uint8_t serverWindowBits = 15;
  uint8_t clientWindowBits = 15;
  int8_t level = -1;
  uint8_t memLevel = 8;
  uint32_t thresholdBytes = 1024;

  bool operator==(const DeflateOptions&) const = default;
};

// A stream of the sender. The four bytes 00 00 ff ff at the end of a message are left out (RFC 7692 7.2.1).
class MessageDeflater {
 public:
  static std::unique_ptr<MessageDeflater> create(const DeflateOptions& options);
  // Appends to `out`. `last`: the message is complete.
  void deflate(std::span<const uint8_t> bytes, bool last, std::vector<uint8_t>& out);
  void reset() { stream_->reset(); }
  bool fits(const DeflateOptions& options) const;

 private:
  std::unique_ptr<Deflater> stream_;
  uint8_t windowBits_ = 0;
  int8_t level_ = 0;
  uint8_t memLevel_ = 0;
};

class DeflateStreams {
 public:
  // For one message, whole, without takeover: the stream is as new. Valid until the next call. Null: no memory.
  MessageDeflater* deflater(const DeflateOptions& options);
  // For the life of a message (or of a connection): give it back when it is over.
  std::unique_ptr<Inflater> takeInflater(uint8_t windowBits);
  void giveBack(std::unique_ptr<Inflater> inflater, uint8_t windowBits);

 private:
  static constexpr size_t kKeptDeflaters = 8;  // 256 KiB each
  static constexpr size_t kKeptInflaters = 16;
  static constexpr uint8_t kMaxWindowBits = 15;

  std::vector<std::unique_ptr<MessageDeflater>> deflaters_;
  std::vector<std::unique_ptr<Inflater>> inflaters_;  // with the largest window
};

}  // namespace gammaloop
