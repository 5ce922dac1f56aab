#include "runner/native_worker.h"

#include <cstring>
#include <string>
#include <utility>

namespace gammaloop {

using namespace native_slot;

namespace {

constexpr uint64_t kUnknownNs = UINT64_MAX;
constexpr double kNsPerMs = 1e6;
constexpr double kFullProgress = 4294967295.0;

// An input of no bytes points here.
constexpr uint8_t kNothing = 0;

uint64_t deadlineNs(const uint32_t* words) {
  double ms;
  std::memcpy(&ms, words + kDeadlineWord, sizeof(ms));
  const double ns = ms * kNsPerMs;
  return ns < 0 ? 0 : ns < static_cast<double>(UINT64_MAX) ? static_cast<uint64_t>(ns) : GAMMALOOP_NO_DEADLINE;
}

}  // namespace

// A task while it runs. What the task sees of it comes first.
struct NativeCall {
  gammaloop_task task{};
  NativePool& pool;
  uint32_t slot;
  NativeBytes result;     // where it does not stand in the slot
  uint8_t* inSlot;        // the room there
  size_t inSlotSize = 0;  // how much of it is the result
  std::string message;

  static NativeCall& of(const gammaloop_task* task) { return *static_cast<NativeCall*>(task->runner); }

  NativeCall(NativePool& owner, uint32_t index, const uint32_t* words)
      : pool(owner), slot(index), inSlot(reinterpret_cast<uint8_t*>(owner.words(index) + kBytesWord)) {
    const uint8_t* inputs = pool.input(slot);
    const uint32_t traceBytes = words[kTraceBytesWord];
    const NativeBytes& beside = pool.job(slot).input;
    task.struct_size = sizeof(task);
    if ((words[kKindWord] & kInputBeside) != 0) {
      task.input = beside.size() == 0 ? &kNothing : beside.bytes();
      task.input_size = beside.size();
    } else {
      task.input = inputs + (traceBytes + 7) / 8 * 8;
      task.input_size = words[kSizeWord];
    }
    task.deadline_ns = deadlineNs(words);
    task.trace_id = traceBytes == 0 ? nullptr : reinterpret_cast<const char*>(inputs);
    task.is_cancelled = isCancelled;
    task.output = output;
    task.give_output = giveOutput;
    task.progress = progress;
    task.error_message = errorMessage;
    task.runner = this;
  }

  static int isCancelled(const gammaloop_task* task) {
    const NativeCall& call = of(task);
    return call.pool.core().states().isCancelled(call.slot) ? 1 : 0;
  }

  static uint8_t* output(gammaloop_task* task, size_t size) {
    NativeCall& call = of(task);
    call.result.reset();
    call.inSlotSize = size <= kInlineBytes ? size : 0;
    if (size <= kInlineBytes) return call.inSlot;
    call.result = NativeBytes::allocate(size);
    return call.result.bytes();
  }

  static void giveOutput(gammaloop_task* task, void* bytes, size_t size, gammaloop_release release, void* hint) {
    NativeCall& call = of(task);
    call.inSlotSize = 0;
    call.result = NativeBytes(static_cast<uint8_t*>(bytes), size, release, hint);
  }

  static void progress(gammaloop_task* task, double done) {
    NativeCall& call = of(task);
    const double part = done > 0 ? (done < 1 ? done : 1) : 0;  // not a number: 0
    auto& word = *reinterpret_cast<std::atomic<uint32_t>*>(call.pool.words(call.slot) + kProgressWord);
    const auto parts = static_cast<uint32_t>(part * kFullProgress);
    if (word.exchange(parts, std::memory_order_relaxed) != parts) call.pool.core().ringCaller();
  }

  static void errorMessage(gammaloop_task* task, const char* text, size_t size) { of(task).message.assign(text, size); }
};

NativeWorker::NativeWorker(std::shared_ptr<NativePool> pool, uint32_t consumer, CompletionRing lane, Options options)
    : pool_(std::move(pool)), consumer_(consumer), options_(options), lane_(lane), spin_(options.spinNs) {
  pool_->core().queue().addConsumer(consumer_, doorbell_);
}

void NativeWorker::run() {
  for (;;) {
    spin_.await(pool_->core().queue());
    nowNs_ = steadyNs();  // waiting is no run time
    const uint32_t count = take(nowNs_);
    for (uint32_t i = 0; i < count; i++) runJob(taken_[i]);
    ringCaller();
    if (retiring_.load(std::memory_order_acquire)) break;
    // It is parked in the queue where it has found nothing.
    if (count == 0 && !doorbell_->wait(options_.idleNs)) break;
  }
  pool_->core().queue().retireConsumer(consumer_);
  lane_.end();
  pool_->core().ringCaller();
}

void NativeWorker::retire() {
  retiring_.store(true, std::memory_order_release);
  pool_->core().queue().retireConsumer(consumer_);
  doorbell_->ring();
}

uint32_t NativeWorker::take(uint64_t nowNs) {
  return pool_->core().queue().take(consumer_, taken_.data(), batchLimit_, nowNs);
}

void NativeWorker::runJob(TakenJob job) {
  if (!pool_->core().states().start(job.slot, job.generation)) return;  // cancelled meanwhile
  const uint32_t* words = pool_->words(job.slot);
  const uint32_t function = words[kFunctionWord];
  if (function >= functions_.size() || functions_[function] == nullptr) {
    functions_ = pool_->functions();
    averagesNs_.resize(functions_.size(), kUnknownNs);
  }
  if (averagesNs_[function] >= kFastNs) ringCaller();
  NativeCall call(*pool_, job.slot, words);
  const int32_t code = functions_[function](&call.task);
  finish(job.slot, call, code);
  const uint64_t end = steadyNs();
  measure(function, end - nowNs_);
  nowNs_ = end;
  lane_.push(job.slot);
  unrung_ = true;
}

// Writes what has come of it into the slot.
void NativeWorker::finish(uint32_t slot, NativeCall& call, int32_t code) {
  uint32_t* words = pool_->words(slot);
  NativeJob& job = pool_->job(slot);
  job.input.reset();
  const uint8_t* bytes = call.result.bytes();
  size_t size = call.result.size();
  if (code != 0) {
    bytes = reinterpret_cast<const uint8_t*>(call.message.data());
    size = call.message.size();
  } else if (call.inSlotSize != 0) {
    bytes = call.inSlot;
    size = call.inSlotSize;
  }
  uint32_t kind = code == 0 ? 0 : kOutputIsError;
  if (size > kInlineBytes) {
    job.output = code == 0 ? std::move(call.result) : NativeBytes::copy(bytes, size);
    kind |= kOutputBeside;
  } else if (size != 0 && bytes != call.inSlot) {
    std::memcpy(call.inSlot, bytes, size);
  }
  words[kKindWord] = kind;
  words[kSizeWord] = static_cast<uint32_t>(size);
  words[kCodeWord] = static_cast<uint32_t>(code);
}

void NativeWorker::measure(uint32_t function, uint64_t ns) {
  lane_.countRunTime(ns);
  uint64_t& average = averagesNs_[function];
  average = average == kUnknownNs ? ns : average - average / 8 + ns / 8;
  batchLimit_ = average < kFastNs ? options_.batchSize : 1;
}

void NativeWorker::ringCaller() {
  if (std::exchange(unrung_, false)) pool_->core().ringCaller();
}

}  // namespace gammaloop
