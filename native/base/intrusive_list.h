// A doubly linked list through nodes that stand in the objects themselves: O(1) unlinking, no allocation. A node
// unlinks itself when destroyed. T derives from ListNode<Tag>; one object may be in several lists by several tags.
#pragma once

#include <cstddef>

namespace gammaloop {

template <typename Tag>
struct ListNode {
  ListNode* previous = nullptr;
  ListNode* next = nullptr;

  ListNode() = default;
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;
  ~ListNode() { unlink(); }

  bool isLinked() const { return next != nullptr; }
  void unlink() {
    if (next == nullptr) return;
    previous->next = next;
    next->previous = previous;
    previous = next = nullptr;
  }
};

template <typename T, typename Tag>
class IntrusiveList {
 public:
  IntrusiveList() { root_.previous = root_.next = &root_; }
  ~IntrusiveList() {
    while (popFront() != nullptr) {
    }
    root_.previous = root_.next = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return root_.next == &root_; }
  T* front() { return empty() ? nullptr : item(root_.next); }
  // The element behind `current`, or nullptr at the end.
  T* after(T* current) {
    ListNode<Tag>* node = static_cast<ListNode<Tag>*>(current)->next;
    return node == &root_ ? nullptr : item(node);
  }
  void pushBack(T& element) {
    ListNode<Tag>& node = element;
    node.unlink();
    node.previous = root_.previous;
    node.next = &root_;
    root_.previous->next = &node;
    root_.previous = &node;
  }
  T* popFront() {
    if (empty()) return nullptr;
    T* element = item(root_.next);
    root_.next->unlink();
    return element;
  }
  // Moves everything out of `other` to the end of this list: drain a local list, so that what is added meanwhile waits
  // its turn.
  void takeAll(IntrusiveList& other) {
    while (T* element = other.popFront()) pushBack(*element);
  }

 private:
  static T* item(ListNode<Tag>* node) { return static_cast<T*>(node); }
  ListNode<Tag> root_;
};

}  // namespace gammaloop
