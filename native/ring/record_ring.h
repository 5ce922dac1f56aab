// A ring of records between one producer and one consumer, over memory that JavaScript shares (records.h has the
// layout). Positions count bytes modulo 2^32; the capacity is a power of two. One side holds a RecordProducer, the
// other a RecordConsumer: the type says who may do what. Both sides may be on different threads; rewind() alone asks
// that they are not.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "base/check.h"
#include "ring/records.h"

namespace gammaloop {

inline uint32_t loadWord(const uint8_t* record, uint32_t offset) {
  uint32_t word;
  std::memcpy(&word, record + offset, sizeof word);
  return word;
}

inline void storeWord(uint8_t* record, uint32_t offset, uint32_t word) {
  std::memcpy(record + offset, &word, sizeof word);
}

// The memory of one ring; not owned.
struct RingMemory {
  uint32_t* control = nullptr;  // records::kControlWords words
  uint8_t* data = nullptr;
  uint32_t capacity = 0;

  std::atomic<uint32_t>& word(uint32_t index) const {
    static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t) && std::atomic<uint32_t>::is_always_lock_free);
    return *reinterpret_cast<std::atomic<uint32_t>*>(control + index);
  }
  bool empty() const {
    return word(records::kHeadWord).load(std::memory_order_acquire) ==
           word(records::kTailWord).load(std::memory_order_acquire);
  }
  // Back to the beginning, which stays warm in the cache. Only while empty, and only when both sides are the same
  // thread.
  void rewind() const {
    word(records::kHeadWord).store(0, std::memory_order_relaxed);
    word(records::kTailWord).store(0, std::memory_order_relaxed);
  }
};

class RecordProducer {
 public:
  explicit RecordProducer(RingMemory memory) : memory_(memory) {
    GAMMALOOP_CHECK(memory.capacity != 0 && (memory.capacity & (memory.capacity - 1)) == 0);
  }

  // The largest record for which reserve() succeeds now.
  uint32_t room() const {
    const uint32_t tail = position(records::kTailWord);
    const uint32_t free = memory_.capacity - (tail - position(records::kHeadWord, std::memory_order_acquire));
    const uint32_t untilEnd = memory_.capacity - (tail & (memory_.capacity - 1));
    if (free <= untilEnd) return free;
    const uint32_t fromStart = free - untilEnd;
    return untilEnd > fromStart ? untilEnd : fromStart;
  }

  // `size` contiguous bytes (rounded up to the alignment) with the record header filled in, or nullptr when there is no
  // room. Unpublished until commit().
  uint8_t* reserve(uint32_t opcode, uint32_t flags, uint32_t size) {
    size = (size + records::kRecordAlign - 1) & ~(records::kRecordAlign - 1);
    uint32_t tail = position(records::kTailWord);
    const uint32_t free = memory_.capacity - (tail - position(records::kHeadWord, std::memory_order_acquire));
    const uint32_t untilEnd = memory_.capacity - (tail & (memory_.capacity - 1));
    if (size > untilEnd) {
      if (size > free - (untilEnd < free ? untilEnd : free)) return nullptr;
      uint8_t* pad = memory_.data + (tail & (memory_.capacity - 1));
      storeWord(pad, records::kSizeOffset, untilEnd);
      storeWord(pad, records::kOpcodeOffset, records::kPad);
      tail += untilEnd;
    } else if (size > free) {
      return nullptr;
    }
    uint8_t* record = memory_.data + (tail & (memory_.capacity - 1));
    storeWord(record, records::kSizeOffset, size);
    storeWord(record, records::kOpcodeOffset, opcode | flags << 16);
    pending_ = tail + size;
    return record;
  }

  void commit() { memory_.word(records::kTailWord).store(pending_, std::memory_order_release); }

 private:
  uint32_t position(uint32_t word, std::memory_order order = std::memory_order_relaxed) const {
    return memory_.word(word).load(order);
  }
  RingMemory memory_;
  uint32_t pending_ = 0;
};

class RecordConsumer {
 public:
  explicit RecordConsumer(RingMemory memory) : memory_(memory) {}

  // The next record, or nullptr. It stays valid until release(). The producer is JavaScript of our own
  // (submission-writer.ts), so a malformed size is a broken invariant.
  const uint8_t* next() {
    const uint32_t tail = memory_.word(records::kTailWord).load(std::memory_order_acquire);
    while (position_ != tail) {
      const uint8_t* record = memory_.data + (position_ & (memory_.capacity - 1));
      const uint32_t size = loadWord(record, records::kSizeOffset);
      GAMMALOOP_CHECK(size >= records::kRecordAlign && size % records::kRecordAlign == 0 && size <= tail - position_);
      position_ += size;
      if ((loadWord(record, records::kOpcodeOffset) & 0xffff) != records::kPad) return record;
    }
    return nullptr;
  }

  // Gives back the memory of everything that next() returned.
  void release() { memory_.word(records::kHeadWord).store(position_, std::memory_order_release); }
  // After RingMemory::rewind().
  void rewind() { position_ = 0; }

 private:
  RingMemory memory_;
  uint32_t position_ = 0;
};

}  // namespace gammaloop
