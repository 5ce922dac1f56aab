// LazyVector: a vector that most objects never fill: while it is empty it takes the room of a pointer.
#pragma once

#include <memory>
#include <vector>

namespace gammaloop {

template <typename T>
class LazyVector {
 public:
  bool empty() const { return items_ == nullptr || items_->empty(); }
  std::vector<T>& get() {
    if (items_ == nullptr) items_ = std::make_unique<std::vector<T>>();
    return *items_;
  }
  void release() { items_.reset(); }

 private:
  std::unique_ptr<std::vector<T>> items_;
};

}  // namespace gammaloop
