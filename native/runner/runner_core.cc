#include "runner/runner_core.h"

#include <chrono>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace gammaloop {

namespace {

// Of the process, since a worker's environment must find what the main one has made. Never destroyed: threads may
// outlive main().
struct Registry {
  std::mutex mutex;
  std::unordered_map<uint32_t, std::weak_ptr<RunnerCore>> cores;
  uint32_t nextId = 1;
};

Registry& registry() {
  static auto* instance = new Registry();
  return *instance;
}

uint32_t takeId() {
  const std::lock_guard lock(registry().mutex);
  return registry().nextId++;
}

}  // namespace

std::shared_ptr<RunnerCore> RunnerCore::create(JobStates states, uint32_t slots, uint64_t agingNs,
                                               std::shared_ptr<Doorbell> caller) {
  auto core = std::make_shared<RunnerCore>(states, slots, agingNs, std::move(caller));
  const std::lock_guard lock(registry().mutex);
  registry().cores[core->id()] = core;
  return core;
}

std::shared_ptr<RunnerCore> RunnerCore::find(uint32_t id) {
  const std::lock_guard lock(registry().mutex);
  const auto found = registry().cores.find(id);
  return found == registry().cores.end() ? nullptr : found->second.lock();
}

RunnerCore::RunnerCore(JobStates states, uint32_t slots, uint64_t agingNs, std::shared_ptr<Doorbell> caller)
    : id_(takeId()), states_(states), queue_(states, slots, agingNs), parcels_(slots), caller_(std::move(caller)) {}

RunnerCore::~RunnerCore() {
  const std::lock_guard lock(registry().mutex);
  registry().cores.erase(id_);
}

uint64_t steadyNs() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace gammaloop
