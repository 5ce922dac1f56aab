#include "reactor/backlog.h"

#include <algorithm>

namespace gammaloop {

void Backlog::append(std::span<const uint8_t> bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    const bool fits = !pieces_.empty() && pieces_.back().shared == nullptr && pieces_.back().own.size() < kBlockBytes;
    if (!fits) pieces_.push_back({{}, nullptr, 0});
    std::vector<uint8_t>& block = pieces_.back().own;
    const std::span<const uint8_t> part = bytes.first(std::min(bytes.size(), kBlockBytes - block.size()));
    block.insert(block.end(), part.begin(), part.end());
    bytes = bytes.subspan(part.size());
  }
}

void Backlog::append(SharedFrame& frame, size_t start) {
  size_ += frame.bytes.size() - start;
  pieces_.push_back({{}, frame.kept(), start});
}

Backlog::Offer Backlog::offer(std::span<IoSlice> slices) const {
  Offer offer{0, 0};
  for (const Piece& piece : pieces_) {
    if (offer.slices == slices.size()) break;
    const std::span<const uint8_t> rest = piece.rest();
    slices[offer.slices++] = {rest.data(), rest.size()};
    offer.bytes += rest.size();
  }
  return offer;
}

void Backlog::consume(size_t byteCount) {
  size_ -= byteCount;
  while (byteCount != 0) {
    Piece& piece = pieces_.front();
    const size_t rest = piece.rest().size();
    if (byteCount < rest) {
      piece.start += byteCount;
      return;
    }
    byteCount -= rest;
    pieces_.pop_front();
  }
}

}  // namespace gammaloop
