#include "reactor/slab.h"

#include <string>
#include <vector>

#include "test.h"

using namespace gammaloop;

namespace {

struct Item {
  static inline int alive = 0;

  Item(SlabKey key, std::string text) : key(key), text(std::move(text)) { alive++; }
  ~Item() { alive--; }
  SlabKey key;
  std::string text;
};

}  // namespace

TEST("slab: an object is found by its key, and only by it") {
  Slab<Item> slab;
  Item* item = slab.create("a");
  EXPECT_EQ(item->text, std::string("a"));
  EXPECT(slab.get(item->key) == item);
  EXPECT(slab.get({item->key.index, item->key.generation + 1}) == nullptr);
  EXPECT(slab.get({item->key.index, 0}) == nullptr);
  EXPECT(slab.get({item->key.index + 1, item->key.generation}) == nullptr);
  EXPECT(slab.get({UINT32_MAX, 1}) == nullptr);
}

TEST("slab: a stale key finds nothing, also after its place was reused") {
  Slab<Item> slab;
  const SlabKey old = slab.create("old")->key;
  slab.destroy(old);
  EXPECT(slab.get(old) == nullptr);
  Item* successor = slab.create("new");
  EXPECT_EQ(successor->key.index, old.index);
  EXPECT(!(successor->key == old));
  EXPECT(slab.get(old) == nullptr);
  slab.destroy(old);  // a late destroy must not take the successor
  EXPECT(slab.get(successor->key) == successor);
  EXPECT_EQ(slab.liveCount(), 1u);
}

TEST("slab: free places are reused last-in first-out, and objects never move") {
  Slab<Item> slab;
  std::vector<Item*> items;
  for (int i = 0; i < 300; i++) items.push_back(slab.create(std::to_string(i)));  // three chunks
  for (int i = 0; i < 300; i++) {
    EXPECT_EQ(items[static_cast<size_t>(i)]->text, std::to_string(i));
    EXPECT_EQ(items[static_cast<size_t>(i)]->key.index, static_cast<uint32_t>(i));
  }
  const SlabKey first = items[7]->key;
  const SlabKey second = items[200]->key;
  slab.destroy(first);
  slab.destroy(second);
  EXPECT_EQ(slab.liveCount(), 298u);
  EXPECT_EQ(slab.create("x")->key.index, second.index);
  EXPECT_EQ(slab.create("y")->key.index, first.index);
  EXPECT_EQ(slab.create("z")->key.index, 300u);
}

TEST("slab: everything alive is destroyed with it, and visited once") {
  const int before = Item::alive;
  {
    Slab<Item> slab;
    for (int i = 0; i < 10; i++) slab.create("i");
    slab.destroy({3, 1});
    slab.destroy({9, 1});
    EXPECT_EQ(Item::alive - before, 8);
    uint32_t visited = 0;
    slab.forEach([&](Item& item) {
      visited++;
      if (item.key.index % 2 == 0) slab.destroy(item.key);  // its own destruction while visited
    });
    EXPECT_EQ(visited, 8u);
    EXPECT_EQ(slab.liveCount(), 3u);
  }
  EXPECT_EQ(Item::alive, before);
}
