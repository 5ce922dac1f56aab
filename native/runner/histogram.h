// Durations by size: eight buckets for each doubling, so that a percentile is right within an eighth. Unit: an eighth
// of a microsecond, up to nine minutes. lib/runner/histogram.ts has the same buckets. Thread: the owner's lock.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace gammaloop {

class Histogram {
 public:
  static constexpr uint32_t kBuckets = 240;
  static constexpr uint64_t kUnitNs = 125;

  void add(uint64_t ns) { counts_[bucketOf(unitsOf(ns))]++; }
  const std::array<uint32_t, kBuckets>& counts() const { return counts_; }

  static uint32_t unitsOf(uint64_t ns) {
    const uint64_t units = ns / kUnitNs;
    return units > UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(units);
  }
  static uint32_t bucketOf(uint32_t units) {
    if (units < 8) return units;
    const uint32_t exponent = 31 - static_cast<uint32_t>(std::countl_zero(units));
    return (exponent - 2) * 8 + (units >> (exponent - 3) & 7);
  }

 private:
  std::array<uint32_t, kBuckets> counts_{};
};

}  // namespace gammaloop
