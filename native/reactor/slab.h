// Slab: objects in stable places, found by a token that carries a generation, so that a late event or a late answer for
// an object that has gone finds nothing instead of its successor. Free places are reused last-in first-out; memory is
// kept for the slab's life. Thread: its owner's.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/poison.h"

namespace gammaloop {

struct SlabKey {
  uint32_t index = 0;
  uint32_t generation = 0;  // 0 is never valid

  bool operator==(const SlabKey&) const = default;
};

template <typename T>
class Slab {
 public:
  Slab() = default;
  Slab(const Slab&) = delete;
  Slab& operator=(const Slab&) = delete;
  ~Slab() {
    for (uint32_t index = 0; index < size(); index++) {
      if (place(index).live) object(index)->~T();
    }
  }

  // Constructs T(key, args...) in a free place.
  template <typename... Args>
  T* create(Args&&... args) {
    uint32_t index = firstFree_;
    if (index == kNone) {
      index = size();
      if (index % kChunkPlaces == 0) chunks_.push_back(std::make_unique<Place[]>(kChunkPlaces));
      size_++;
    } else {
      firstFree_ = place(index).nextFree;
    }
    Place& at = place(index);
    at.live = true;
    liveCount_++;
    unpoison(at.storage, sizeof(T));
    return new (at.storage) T(SlabKey{index, at.generation}, std::forward<Args>(args)...);
  }

  T* get(SlabKey key) {
    if (key.index >= size_) return nullptr;
    Place& at = place(key.index);
    return at.live && at.generation == key.generation ? object(key.index) : nullptr;
  }

  void destroy(SlabKey key) {
    T* gone = get(key);
    if (gone == nullptr) return;
    gone->~T();
    poison(gone, sizeof(T));
    Place& at = place(key.index);
    at.live = false;
    if (++at.generation == 0) at.generation = 1;
    at.nextFree = firstFree_;
    firstFree_ = key.index;
    liveCount_--;
  }

  template <typename Visit>
  void forEach(Visit visit) {
    for (uint32_t index = 0; index < size_; index++) {
      if (place(index).live) visit(*object(index));
    }
  }

  uint32_t liveCount() const { return liveCount_; }

 private:
  static constexpr uint32_t kChunkPlaces = 128;
  static constexpr uint32_t kNone = UINT32_MAX;

  struct Place {
    alignas(T) unsigned char storage[sizeof(T)];
    uint32_t generation = 1;
    uint32_t nextFree = kNone;
    bool live = false;
  };

  uint32_t size() const { return size_; }
  Place& place(uint32_t index) { return chunks_[index / kChunkPlaces][index % kChunkPlaces]; }
  T* object(uint32_t index) { return std::launder(reinterpret_cast<T*>(place(index).storage)); }

  std::vector<std::unique_ptr<Place[]>> chunks_;
  uint32_t size_ = 0;
  uint32_t liveCount_ = 0;
  uint32_t firstFree_ = kNone;
};

}  // namespace gammaloop
