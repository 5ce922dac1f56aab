// Parcel: the bytes of a job's input or output that do not fit into its slot, in parts of their own size each: encoded
// values, and large buffers as they are. They stay until taken, so a job whose consumer died before it began has its
// input still.
//
// Buffers that the caller gave away are lent instead of copied: their memory stays the caller's, who keeps it until it
// takes the slot back. The consumer reads the input there, and later writes output of the same size there: one copy
// each way, and nothing to allocate at the caller's. Or the consumer shows its task that memory itself, on a Loan
// (loan.h), and gives it back as it is. Thread: whoever owns the job's slot.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "runner/loan.h"

namespace gammaloop {

struct FreeBytes {
  void operator()(uint8_t* bytes) const { std::free(bytes); }
};

inline constexpr uint32_t kNotLent = UINT32_MAX;

struct ParcelPart {
  std::unique_ptr<uint8_t[], FreeBytes> owned;  // nullptr where it is lent
  size_t size = 0;
  uint32_t lent = kNotLent;  // index among what was lent to the job
};

using Parcel = std::vector<ParcelPart>;

// Both of a job. Owns the copies, not what is lent.
class JobParcels {
 public:
  const Parcel& input() const { return input_; }
  const Parcel& output() const { return output_; }
  const uint8_t* bytesOf(const ParcelPart& part) const {
    return part.lent == kNotLent ? part.owned.get() : lent_[part.lent].bytes;
  }

  // False: out of memory; the parcel is as it was.
  bool copyInput(const void* bytes, size_t size) { return addCopy(input_, bytes, size); }
  // The memory must stay until clear().
  void lendInput(void* bytes, size_t size) {
    input_.push_back({nullptr, size, static_cast<uint32_t>(lent_.size())});
    lent_.push_back({static_cast<uint8_t*>(bytes), size, false, nullptr});
  }
  // The task has the memory of this part of the input itself, for as long as `loan` lasts.
  void show(const ParcelPart& part, std::shared_ptr<Loan> loan) { lent_[part.lent].loan = std::move(loan); }
  // What comes back as a whole is itself where it was on loan. Else into what was lent where the size is the same, and
  // nobody else has it. False: out of memory.
  bool addOutput(const void* bytes, size_t size, bool isWhole = false) {
    for (uint32_t i = 0; i < lent_.size(); i++) {
      const bool isItself = lent_[i].loan != nullptr && lent_[i].bytes == bytes && isWhole;
      if (lent_[i].size != size || lent_[i].written || (lent_[i].loan != nullptr && !isItself)) continue;
      lent_[i].written = true;
      if (size != 0 && !isItself) std::memcpy(lent_[i].bytes, bytes, size);  // an empty buffer may have no memory
      output_.push_back({nullptr, size, i});
      return true;
    }
    return addCopy(output_, bytes, size);
  }

  void clearInput() { input_.clear(); }
  void clearOutput() {
    output_.clear();
    for (LentBytes& lent : lent_) lent.written = false;
  }
  // Calls `each(index, loan)` for what is still on loan to a task that has ended without giving it back.
  template <typename Each>
  void forEachKept(const Each& each) const {
    for (uint32_t i = 0; i < lent_.size(); i++) {
      if (lent_[i].loan != nullptr && !lent_[i].written) each(i, lent_[i].loan);
    }
  }
  // What was lent is the caller's alone again, but for what is kept.
  void clear() {
    input_.clear();
    output_.clear();
    lent_.clear();
  }

 private:
  struct LentBytes {
    uint8_t* bytes;
    size_t size;
    bool written;  // by output
    std::shared_ptr<Loan> loan;
  };

  static bool addCopy(Parcel& parcel, const void* bytes, size_t size) {
    auto* copy = static_cast<uint8_t*>(std::malloc(size == 0 ? 1 : size));
    if (copy == nullptr) return false;
    if (size != 0) std::memcpy(copy, bytes, size);
    parcel.push_back({std::unique_ptr<uint8_t[], FreeBytes>(copy), size, kNotLent});
    return true;
  }

  Parcel input_;
  Parcel output_;
  std::vector<LentBytes> lent_;
};

}  // namespace gammaloop
