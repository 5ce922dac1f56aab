// Loan: memory of the caller's that a worker's JavaScript has as a buffer of its own, so that it need not be copied. It
// is the caller's again when that buffer has been detached and given back, or has gone by itself. A task may keep its
// buffer beyond its end: the caller then keeps the memory for it, and is told when the loan is over.
// Shared by both sides. Thread: keep() the caller's, end() the worker's.
#pragma once

#include <atomic>
#include <cstdint>

namespace gammaloop {

class Loan {
 public:
  Loan() { live_.fetch_add(1, std::memory_order_relaxed); }
  ~Loan() { live_.fetch_sub(1, std::memory_order_relaxed); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  // The caller is to keep the memory until isOver(). False: it is over already.
  bool keep() {
    State expected = State::Open;
    return state_.compare_exchange_strong(expected, State::Kept, std::memory_order_acq_rel);
  }
  // Nobody reads or writes there any more. True: the caller waits for that.
  bool end() { return state_.exchange(State::Over, std::memory_order_acq_rel) == State::Kept; }
  bool isOver() const { return state_.load(std::memory_order_acquire) == State::Over; }

  // Of the process.
  static uint32_t live() { return live_.load(std::memory_order_relaxed); }

 private:
  enum class State : uint8_t { Open, Kept, Over };
  static inline std::atomic<uint32_t> live_{0};
  std::atomic<State> state_{State::Open};
};

}  // namespace gammaloop
