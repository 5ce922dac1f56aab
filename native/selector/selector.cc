#include "selector/selector.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <unordered_map>

namespace gammaloop {

namespace {

Token tokenOf(int fd) { return static_cast<Token>(fd); }

uint64_t nowMs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// All selectors of the process, for wake() by number.
struct Directory {
  std::mutex mutex;
  std::unordered_map<uint32_t, Selector*> byId;
  uint32_t lastId = 0;

  static Directory& get() {
    static auto* directory = new Directory();  // outlives every thread
    return *directory;
  }
};

}  // namespace

Result<std::unique_ptr<Selector>> Selector::open(MakePoller makePoller) {
  Result<std::unique_ptr<Poller>> poller = makePoller();
  if (!poller) return poller.error();
  std::unique_ptr<Selector> selector(new Selector(makePoller));
  selector->poller_ = std::move(poller.value());
  return selector;
}

Selector::Selector(MakePoller makePoller) : makePoller_(makePoller), nextSweepMs_(nowMs() + kSweepMs) {
  Directory& directory = Directory::get();
  const std::lock_guard lock(directory.mutex);
  do {
    id_ = ++directory.lastId;
  } while (id_ == 0 || directory.byId.contains(id_));
  directory.byId.emplace(id_, this);
}

Selector::~Selector() {
  Directory& directory = Directory::get();
  const std::lock_guard lock(directory.mutex);
  directory.byId.erase(id_);
}

// What is watched.

Result<void> Selector::add(int fd, Interest interest) {
  if (find(fd) != nullptr) return SysError{"select", EEXIST};
  const Result<FileIdentity> identity = fileIdentity(fd);
  if (!identity) return identity.error();
  if (Result<void> added = poller_->add(fd, interest, tokenOf(fd)); !added) return added;
  const auto index = static_cast<size_t>(fd);
  if (entries_.size() <= index) entries_.resize(index + 1);
  entries_[index] = {identity.value(), 0, interest, true};
  return {};
}

Result<void> Selector::modify(int fd, Interest interest) {
  Entry* entry = find(fd);
  if (entry == nullptr) return SysError{"select", ENOENT};
  if (!isIntact(fd, *entry)) return SysError{"select", EBADF};
  if (Result<void> modified = poller_->modify(fd, interest, tokenOf(fd)); !modified) return modified;
  entry->interest = interest;
  return {};
}

Result<void> Selector::remove(int fd) {
  Entry* entry = find(fd);
  if (entry == nullptr) return SysError{"select", ENOENT};
  forget(fd, *entry, isIntact(fd, *entry));
  return {};
}

Selector::Entry* Selector::find(int fd) {
  const auto index = static_cast<size_t>(fd);
  return fd >= 0 && index < entries_.size() && entries_[index].isWatched ? &entries_[index] : nullptr;
}

void Selector::forget(int fd, Entry& entry, bool isIntact) {
  entry.isWatched = false;
  (void)poller_->remove(fd).ok();  // fails where it was closed first
  // If what it stood for is open elsewhere, the kernel goes on watching it, and nobody can tell it not to.
  if (!isIntact) isPollerStale_ = true;
}

// Waiting.

Result<size_t> Selector::wait(std::span<ReadyDescriptor> ready, int timeoutMs) {
  uint64_t now = nowMs();
  const uint64_t deadlineMs = timeoutMs < 0 ? UINT64_MAX : now + static_cast<uint64_t>(timeoutMs);
  if (events_.size() < ready.size()) events_.resize(ready.size());
  wasWoken_ = false;
  for (;;) {
    if (now >= nextSweepMs_) {
      sweep();
      nextSweepMs_ = now + kSweepMs;
    }
    if (isPollerStale_) {
      if (const Result<void> rebuilt = rebuild(); !rebuilt) return rebuilt.error();
    }
    size_t filled = takeLost(ready);
    const bool isWoken = isWoken_.load(std::memory_order_acquire);
    const uint64_t untilMs = filled != 0 || isWoken ? now : std::min(deadlineMs, nextSweepMs_);
    if (filled < ready.size()) {
      const std::span<ReadyEvent> room = std::span(events_).first(ready.size() - filled);
      const Result<size_t> count = poller_->wait(room, untilMs > now ? static_cast<int>(untilMs - now) : 0);
      if (!count) return count.error();
      filled += collect(room.first(count.value()), ready.subspan(filled));
    }
    wasWoken_ = isWoken_.exchange(false, std::memory_order_acq_rel);
    if (filled != 0 || wasWoken_ || timeoutMs == 0) return filled;
    now = nowMs();
    if (now >= deadlineMs) return size_t{0};
    if (now + 1 < untilMs) return size_t{0};  // a signal
  }
}

size_t Selector::collect(std::span<const ReadyEvent> events, std::span<ReadyDescriptor> ready) {
  size_t filled = 0;
  for (const ReadyEvent& event : events) {
    const auto fd = static_cast<int>(event.token);
    Entry* entry = find(fd);
    if (entry == nullptr) continue;
    uint32_t readiness = event.readiness;
    const bool suspicious = readiness & Readiness::kError || ++entry->reports % kReportsPerCheck == 0;
    if (suspicious && !isIntact(fd, *entry)) {
      forget(fd, *entry, false);
      readiness = kClosed;
    } else if (readiness & (Readiness::kError | Readiness::kHangup)) {
      readiness |= static_cast<uint32_t>(entry->interest);
    }
    ready[filled++] = {static_cast<uint32_t>(fd), readiness};
  }
  return filled;
}

bool Selector::isIntact(int fd, const Entry& entry) {
  const Result<FileIdentity> identity = fileIdentity(fd);
  if (!identity || identity.value() != entry.identity) return false;
  return poller_->isIntact(fd, entry.interest, tokenOf(fd));
}

void Selector::sweep() {
  for (size_t index = 0; index < entries_.size(); index++) {
    const auto fd = static_cast<int>(index);
    Entry& entry = entries_[index];
    if (!entry.isWatched || isIntact(fd, entry)) continue;
    forget(fd, entry, false);
    lost_.push_back(fd);
  }
}

size_t Selector::takeLost(std::span<ReadyDescriptor> ready) {
  const size_t count = std::min(ready.size(), lost_.size());
  for (size_t i = 0; i < count; i++) ready[i] = {static_cast<uint32_t>(lost_[i]), kClosed};
  lost_.erase(lost_.begin(), lost_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

Result<void> Selector::rebuild() {
  isPollerStale_ = false;
  Result<std::unique_ptr<Poller>> made = makePoller_();
  if (!made) return made.error();
  std::unique_ptr<Poller> poller = std::move(made.value());
  for (size_t index = 0; index < entries_.size(); index++) {
    const auto fd = static_cast<int>(index);
    Entry& entry = entries_[index];
    if (!entry.isWatched) continue;
    if (isIntact(fd, entry) && poller->add(fd, entry.interest, tokenOf(fd))) continue;
    entry.isWatched = false;
    lost_.push_back(fd);
  }
  const std::lock_guard lock(mutex_);
  poller_ = std::move(poller);
  return {};
}

// Waking.

void Selector::wake() noexcept {
  isWoken_.store(true, std::memory_order_release);
  const std::lock_guard lock(mutex_);
  poller_->wake();
}

bool Selector::wake(uint32_t id) noexcept {
  Directory& directory = Directory::get();
  const std::lock_guard lock(directory.mutex);
  const auto found = directory.byId.find(id);
  if (found == directory.byId.end()) return false;
  found->second->wake();
  return true;
}

}  // namespace gammaloop
