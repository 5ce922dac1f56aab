#include "base/intrusive_list.h"

#include <memory>
#include <string>

#include "test.h"

using namespace gammaloop;

namespace {

struct LeftTag {};
struct RightTag {};
struct Node : ListNode<LeftTag>, ListNode<RightTag> {
  explicit Node(char name) : name(name) {}
  char name;
};
using Left = IntrusiveList<Node, LeftTag>;
using Right = IntrusiveList<Node, RightTag>;

template <typename List>
std::string names(List& list) {
  std::string text;
  for (Node* node = list.front(); node != nullptr; node = list.after(node)) text += node->name;
  return text;
}

}  // namespace

TEST("intrusive list: order of arrival; pushing again moves to the end") {
  Left list;
  Node a('a'), b('b'), c('c');
  list.pushBack(a);
  list.pushBack(b);
  list.pushBack(c);
  EXPECT_EQ(names(list), std::string("abc"));
  list.pushBack(a);
  EXPECT_EQ(names(list), std::string("bca"));
  EXPECT(list.popFront() == &b);
  EXPECT(!b.ListNode<LeftTag>::isLinked());
  EXPECT_EQ(names(list), std::string("ca"));
}

TEST("intrusive list: a node unlinks itself when destroyed; unlinking twice does nothing") {
  Left list;
  Node a('a'), c('c');
  auto b = std::make_unique<Node>('b');
  list.pushBack(a);
  list.pushBack(*b);
  list.pushBack(c);
  b.reset();
  EXPECT_EQ(names(list), std::string("ac"));
  a.ListNode<LeftTag>::unlink();
  a.ListNode<LeftTag>::unlink();
  EXPECT_EQ(names(list), std::string("c"));
  EXPECT(list.front() == &c);
}

TEST("intrusive list: one object in two lists by two tags") {
  Left left;
  Right right;
  Node a('a'), b('b');
  left.pushBack(a);
  left.pushBack(b);
  right.pushBack(b);
  right.pushBack(a);
  EXPECT_EQ(names(left), std::string("ab"));
  EXPECT_EQ(names(right), std::string("ba"));
  a.ListNode<LeftTag>::unlink();
  EXPECT_EQ(names(left), std::string("b"));
  EXPECT_EQ(names(right), std::string("ba"));
}

TEST("intrusive list: takeAll appends and empties; what is added to the source meanwhile stays there") {
  Left source, local;
  Node a('a'), b('b'), c('c');
  local.pushBack(c);
  source.pushBack(a);
  source.pushBack(b);
  local.takeAll(source);
  EXPECT(source.empty());
  EXPECT_EQ(names(local), std::string("cab"));
  source.pushBack(a);  // moves from one list to the other
  EXPECT_EQ(names(local), std::string("cb"));
  EXPECT_EQ(names(source), std::string("a"));
}

TEST("intrusive list: a list that goes leaves its nodes unlinked") {
  Node a('a'), b('b');
  {
    Left list;
    list.pushBack(a);
    list.pushBack(b);
  }
  EXPECT(!a.ListNode<LeftTag>::isLinked());
  EXPECT(!b.ListNode<LeftTag>::isLinked());
  Left empty;
  EXPECT(empty.popFront() == nullptr);
  EXPECT(empty.front() == nullptr);
}
