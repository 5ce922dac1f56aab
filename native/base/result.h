// Result<T>: a value, or the system call that failed and its errno. Nothing in native/ throws; every system-call
// result travels in one of these, and [[nodiscard]] makes dropping one a compiler warning (an error in CI).
#pragma once

#include <utility>
#include <variant>

namespace gammaloop {

// `syscall` points to a string literal ("bind", "epoll_ctl"); `code` is the positive errno.
struct SysError {
  const char* syscall = "";
  int code = 0;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Result(SysError error) : state_(std::in_place_index<1>, error) {}      // NOLINT

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return *std::get_if<0>(&state_); }
  const T& value() const { return *std::get_if<0>(&state_); }
  const SysError& error() const { return *std::get_if<1>(&state_); }

 private:
  std::variant<T, SysError> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(SysError error) : error_(error), ok_(false) {}  // NOLINT

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const SysError& error() const { return error_; }

 private:
  SysError error_;
  bool ok_ = true;
};

}  // namespace gammaloop
