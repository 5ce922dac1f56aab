#include "ws/deflate.h"

#include <algorithm>

namespace gammaloop {

std::unique_ptr<MessageDeflater> MessageDeflater::create(const DeflateOptions& options) {
  std::unique_ptr<Deflater> stream = Deflater::create(options.level, options.serverWindowBits, options.memLevel);
  if (stream == nullptr) return nullptr;
  auto deflater = std::make_unique<MessageDeflater>();
  deflater->stream_ = std::move(stream);
  deflater->windowBits_ = options.serverWindowBits;
  deflater->level_ = options.level;
  deflater->memLevel_ = options.memLevel;
  return deflater;
}

bool MessageDeflater::fits(const DeflateOptions& options) const {
  return windowBits_ == options.serverWindowBits && level_ == options.level && memLevel_ == options.memLevel;
}

void MessageDeflater::deflate(std::span<const uint8_t> bytes, bool last, std::vector<uint8_t>& out) {
  static constexpr size_t kTailBytes = 4;
  const size_t before = out.size();
  size_t size = before;
  size_t room = stream_->bound(bytes.size());
  for (;;) {
    out.resize(size + room);
    const Deflater::Step step = stream_->step(bytes, std::span(out).subspan(size), last);
    size += step.produced;
    bytes = bytes.subspan(step.consumed);
    if (step.produced < room) break;
    room = std::max<size_t>(bytes.size(), 1024);
  }
  if (last && size - before >= kTailBytes) size -= kTailBytes;
  out.resize(size);
  // A flush with nothing new writes nothing: then an empty block stands for it (RFC 7692 7.2.3.6).
  if (last && size == before) out.push_back(0);
}

MessageDeflater* DeflateStreams::deflater(const DeflateOptions& options) {
  for (const std::unique_ptr<MessageDeflater>& deflater : deflaters_) {
    if (!deflater->fits(options)) continue;
    deflater->reset();
    return deflater.get();
  }
  std::unique_ptr<MessageDeflater> made = MessageDeflater::create(options);
  if (made == nullptr) return nullptr;
  if (deflaters_.size() == kKeptDeflaters) deflaters_.erase(deflaters_.begin());
  deflaters_.push_back(std::move(made));
  return deflaters_.back().get();
}

std::unique_ptr<Inflater> DeflateStreams::takeInflater(uint8_t windowBits) {
  if (windowBits != kMaxWindowBits || inflaters_.empty()) return Inflater::create(windowBits);
  std::unique_ptr<Inflater> inflater = std::move(inflaters_.back());
  inflaters_.pop_back();
  return inflater;
}

void DeflateStreams::giveBack(std::unique_ptr<Inflater> inflater, uint8_t windowBits) {
  if (inflater == nullptr || windowBits != kMaxWindowBits || inflaters_.size() == kKeptInflaters) return;
  inflater->reset();
  inflaters_.push_back(std::move(inflater));
}

}  // namespace gammaloop
