#include "ring/record_ring.h"

#include <random>
#include <thread>
#include <vector>

#include "test.h"

using namespace gammaloop;
using namespace gammaloop::records;

namespace {

struct Ring {
  explicit Ring(uint32_t capacity) : data(capacity / 8), capacity(capacity) {}
  RingMemory memory() { return {control, reinterpret_cast<uint8_t*>(data.data()), capacity}; }

  alignas(64) uint32_t control[kControlWords] = {};
  std::vector<uint64_t> data;  // aligned to kRecordAlign
  uint32_t capacity;
};

bool put(RecordProducer& producer, uint32_t size, uint32_t mark) {
  uint8_t* record = producer.reserve(kBody, 3, size);
  if (record == nullptr) return false;
  storeWord(record, kExchangeIndexOffset, mark);
  for (uint32_t i = kHeaderBytes; i < size; i++) record[i] = static_cast<uint8_t>(mark + i);
  producer.commit();
  return true;
}

// The mark of the next record, or -1; checks its bytes.
int64_t take(RecordConsumer& consumer, uint32_t expectedSize) {
  const uint8_t* record = consumer.next();
  if (record == nullptr) return -1;
  const uint32_t mark = loadWord(record, kExchangeIndexOffset);
  EXPECT_EQ(loadWord(record, kSizeOffset), (expectedSize + 7) / 8 * 8);
  EXPECT_EQ(loadWord(record, kOpcodeOffset), kBody | 3u << 16);
  bool intact = true;
  for (uint32_t i = kHeaderBytes; i < expectedSize; i++) intact &= record[i] == static_cast<uint8_t>(mark + i);
  EXPECT(intact);
  return mark;
}

}  // namespace

TEST("record ring: records come back in order, unseen until committed") {
  Ring ring(256);
  RecordProducer producer(ring.memory());
  RecordConsumer consumer(ring.memory());
  EXPECT(ring.memory().empty());
  EXPECT(producer.reserve(kBody, 0, 24) != nullptr);
  EXPECT(consumer.next() == nullptr);
  EXPECT(put(producer, 24, 1));
  EXPECT(put(producer, 17, 2));
  EXPECT(!ring.memory().empty());
  EXPECT_EQ(take(consumer, 24), 1);
  EXPECT_EQ(take(consumer, 17), 2);
  EXPECT(consumer.next() == nullptr);
  EXPECT(!ring.memory().empty());  // not released yet
  consumer.release();
  EXPECT(ring.memory().empty());
}

TEST("record ring: full to the last byte, then refused, then room again") {
  Ring ring(128);
  RecordProducer producer(ring.memory());
  RecordConsumer consumer(ring.memory());
  EXPECT_EQ(producer.room(), 128u);
  for (uint32_t i = 0; i < 4; i++) EXPECT(put(producer, 32, i));
  EXPECT_EQ(producer.room(), 0u);
  EXPECT(producer.reserve(kBody, 0, 8) == nullptr);
  EXPECT_EQ(take(consumer, 32), 0);
  EXPECT(producer.reserve(kBody, 0, 8) == nullptr);  // read, not released
  consumer.release();
  EXPECT_EQ(producer.room(), 32u);
  EXPECT(put(producer, 32, 4));
  for (uint32_t i = 1; i < 5; i++) EXPECT_EQ(take(consumer, 32), static_cast<int64_t>(i));
}

TEST("record ring: a record that does not fit before the end starts at the front, behind a pad") {
  Ring ring(128);
  RecordProducer producer(ring.memory());
  RecordConsumer consumer(ring.memory());
  EXPECT(put(producer, 48, 1));
  EXPECT(put(producer, 48, 2));
  EXPECT_EQ(take(consumer, 48), 1);
  consumer.release();
  EXPECT_EQ(producer.room(), 48u);  // 32 at the end, 48 at the front
  EXPECT(producer.reserve(kBody, 0, 56) == nullptr);
  EXPECT(put(producer, 48, 3));
  EXPECT_EQ(producer.room(), 0u);
  EXPECT_EQ(take(consumer, 48), 2);
  EXPECT_EQ(take(consumer, 48), 3);
  EXPECT(consumer.next() == nullptr);
  consumer.release();
  EXPECT(ring.memory().empty());
}

TEST("record ring: room() is exact at every position, across the overflow of the positions") {
  for (uint32_t start : {0u, UINT32_MAX - 7 - 512}) {
    Ring ring(256);
    ring.control[kHeadWord] = ring.control[kTailWord] = start / 8 * 8;
    RecordProducer producer(ring.memory());
    for (uint32_t at = 0; at < 256; at += 8) {
      for (uint32_t used = 0; used <= 256; used += 8) {
        const uint32_t tail = ring.control[kTailWord];
        ring.control[kHeadWord] = tail - used;
        const uint32_t room = producer.room();
        if (room != 0) EXPECT(producer.reserve(kBody, 0, room) != nullptr);
        EXPECT(producer.reserve(kBody, 0, room + 1) == nullptr);
        EXPECT_EQ(ring.control[kTailWord], tail);
      }
      ring.control[kTailWord] += 8;
    }
  }
}

TEST("record ring: any sizes in any rhythm come through") {
  std::mt19937 random(7);
  Ring ring(1024);
  RecordProducer producer(ring.memory());
  RecordConsumer consumer(ring.memory());
  uint32_t written = 0;
  uint32_t read = 0;
  std::vector<uint32_t> sizes;
  for (int step = 0; step < 200'000; step++) {
    const uint32_t size = kHeaderBytes + random() % 400;
    if (random() % 2 == 0 && put(producer, size, written)) {
      sizes.push_back(size);
      written++;
    }
    if (random() % 2 == 0 && read < written) {
      EXPECT_EQ(take(consumer, sizes[read]), static_cast<int64_t>(read));
      read++;
    }
    if (random() % 3 == 0) consumer.release();
  }
  EXPECT(written > 10'000u);
}

TEST("record ring: 2^32 bytes and more through one ring") {
  // Records of a quarter of the ring, so that the positions pass the overflow in a few thousand steps; only headers are
  // written.
  constexpr uint32_t kCapacity = 4 * 1024 * 1024;
  Ring ring(kCapacity);
  RecordProducer producer(ring.memory());
  RecordConsumer consumer(ring.memory());
  uint64_t bytes = 0;
  uint32_t mark = 0;
  bool wrapped = false;
  while (bytes < (uint64_t{1} << 32) + 8 * kCapacity) {
    const uint32_t size = kCapacity / 4 - 8 * (mark % 5);
    uint8_t* record = producer.reserve(kBody, 0, size);
    EXPECT(record != nullptr);
    if (record == nullptr) return;
    storeWord(record, kExchangeIndexOffset, mark);
    const uint32_t before = ring.control[kTailWord];
    producer.commit();
    wrapped |= ring.control[kTailWord] < before;
    const uint8_t* got = consumer.next();
    EXPECT(got == record);
    if (got != record) return;
    EXPECT_EQ(loadWord(got, kExchangeIndexOffset), mark);
    consumer.release();
    bytes += size;
    mark++;
  }
  EXPECT(wrapped);
  EXPECT(ring.memory().empty());
}

TEST("record ring: rewind starts both sides over") {
  Ring ring(128);
  RecordProducer producer(ring.memory());
  RecordConsumer consumer(ring.memory());
  EXPECT(put(producer, 72, 1));
  EXPECT_EQ(take(consumer, 72), 1);
  consumer.release();
  EXPECT_EQ(producer.room(), 72u);
  ring.memory().rewind();
  consumer.rewind();
  EXPECT_EQ(producer.room(), 128u);
  EXPECT(put(producer, 128, 2));
  EXPECT_EQ(take(consumer, 128), 2);
}

// A manual run of this one under -fsanitize=thread is part of the ring's contract.
TEST("record ring: producer and consumer on two threads") {
  Ring ring(512);
  constexpr uint32_t kCount = 50'000;
  std::thread writer([&ring] {
    RecordProducer producer(ring.memory());
    for (uint32_t i = 0; i < kCount; i++) {
      while (!put(producer, kHeaderBytes + i % 150, i)) std::this_thread::yield();
    }
  });
  RecordConsumer consumer(ring.memory());
  for (uint32_t i = 0; i < kCount; i++) {
    int64_t mark;
    while ((mark = take(consumer, kHeaderBytes + i % 150)) < 0) std::this_thread::yield();
    if (mark != i) {
      EXPECT_EQ(mark, static_cast<int64_t>(i));
      break;
    }
    consumer.release();
  }
  writer.join();
  EXPECT(ring.memory().empty());
}
