// RunnerCore: what the threads of one runner share: the queue, the parcels, and the caller's doorbell. Found by its id
// from other environments of the process.
// Owned together by the caller's and the consumers' wrappers. Thread: any; a slot's parcels by who owns the slot.
#pragma once

#include <memory>
#include <vector>

#include "base/doorbell.h"
#include "runner/job_queue.h"
#include "runner/parcel.h"

namespace gammaloop {

class RunnerCore {
 public:
  static std::shared_ptr<RunnerCore> create(JobStates states, uint32_t slots, uint64_t agingNs,
                                            std::shared_ptr<Doorbell> caller);
  // nullptr where it has gone.
  static std::shared_ptr<RunnerCore> find(uint32_t id);

  RunnerCore(JobStates states, uint32_t slots, uint64_t agingNs, std::shared_ptr<Doorbell> caller);
  ~RunnerCore();

  uint32_t id() const { return id_; }
  JobQueue& queue() { return queue_; }
  JobStates states() const { return states_; }
  JobParcels& parcels(uint32_t slot) { return parcels_[slot]; }
  // There are results to collect.
  void ringCaller() { caller_->ring(); }

 private:
  const uint32_t id_;
  const JobStates states_;
  JobQueue queue_;
  std::vector<JobParcels> parcels_;
  const std::shared_ptr<Doorbell> caller_;
};

// The clock of all waiting times.
uint64_t steadyNs();

}  // namespace gammaloop
