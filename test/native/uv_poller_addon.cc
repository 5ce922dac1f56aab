// The poller contract over libuv, and UvLoopHooks. libuv's symbols are in the node binary, so this is an addon that
// uv-poller.test.ts loads: run(filter) runs the cases on a loop of their own and returns the number of failed ones.
#include <node_api.h>
#include <uv.h>

#include <cstdint>
#include <optional>

#include "poller_contract.h"
#include "selector_contract.h"
#include "sys/uv_loop.h"

namespace gammaloop::test {

namespace {

// A loop that every case shares, so that the closes that one leaves pending run in the middle of the next. The anchor
// stands for what else lives on node's loop: a loop with no referenced handle does not even poll.
struct SharedLoop {
  uv_loop_t loop = {};
  uv_async_t anchor = {};

  SharedLoop() { open(); }
  void open() {
    EXPECT_EQ(uv_loop_init(&loop), 0);
    EXPECT_EQ(uv_async_init(&loop, &anchor, nullptr), 0);
    uv_unref(reinterpret_cast<uv_handle_t*>(&anchor));
  }
  void turn() {
    uv_ref(reinterpret_cast<uv_handle_t*>(&anchor));
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_unref(reinterpret_cast<uv_handle_t*>(&anchor));
  }
};

SharedLoop& shared() {
  static SharedLoop instance;
  return instance;
}

uv_loop_t* sharedLoop() { return &shared().loop; }

std::unique_ptr<Poller> makePoller() {
  Result<std::unique_ptr<Poller>> poller = makeUvPoller(sharedLoop());
  EXPECT(poller.ok());
  return poller ? std::move(poller.value()) : nullptr;
}

void turn() { shared().turn(); }

// The anchor apart.
int countHandles() {
  int count = -1;
  uv_walk(
      sharedLoop(), [](uv_handle_t*, void* total) { (*static_cast<int*>(total))++; }, &count);
  return count;
}

// Runs what is still closing.
void settle() {
  for (int i = 0; i < 100 && countHandles() > 0; i++) turn();
}

[[maybe_unused]] const bool areRegistered = [] {
  PollerContract({"uv", [] { return makeUvPoller(sharedLoop()); }, false, false, false}).registerAll();
  PollerContract({"uv (own loop)", makeOwnLoopUvPoller, false, true, false}).registerAll();
  SelectorContract("uv", makeOwnLoopUvPoller).registerAll();
  return true;
}();

struct Counts {
  int readable = 0;
  int prepare = 0;
  int check = 0;
  int timer = 0;

  UvLoopHooks::Callbacks callbacks() {
    return {[this] { readable++; }, [this] { prepare++; }, [this] { check++; }, [this] { timer++; }};
  }
};

}  // namespace

TEST("uv poller: a wait without time hands over what the loop collected, and runs nothing") {
  const auto poller = makePoller();
  Pair pair;
  sendText(pair.theirs.get(), "x");
  EXPECT(poller->add(pair.ours.get(), Interest::Read, 1).ok());
  EXPECT(waitOnce(*poller, 0).empty());
  turn();
  turn();  // merged, not told twice
  EXPECT((waitOnce(*poller, 0) == Ready{{1, Readiness::kReadable}}));
  EXPECT(waitOnce(*poller, 0).empty());
  turn();
  EXPECT((waitOnce(*poller, 0) == Ready{{1, Readiness::kReadable}}));
}

TEST("uv poller: what was collected before modify or remove is not told after") {
  const auto poller = makePoller();
  Pair one;
  Pair two;
  for (Pair* pair : {&one, &two}) sendText(pair->theirs.get(), "x");
  EXPECT(poller->add(one.ours.get(), Interest::ReadWrite, 1).ok());
  EXPECT(poller->add(two.ours.get(), Interest::ReadWrite, 2).ok());
  turn();
  EXPECT(poller->modify(one.ours.get(), Interest::Write, 11).ok());
  EXPECT(poller->remove(two.ours.get()).ok());
  EXPECT((waitOnce(*poller, 0) == Ready{{11, Readiness::kWritable}}));
  turn();
  EXPECT(poller->modify(one.ours.get(), Interest::None, 11).ok());
  EXPECT(waitOnce(*poller, 0).empty());
}

TEST("uv poller: keeps no loop alive, and frees every handle when it is destroyed in the middle of everything") {
  settle();
  EXPECT_EQ(countHandles(), 0);
  auto poller = makePoller();
  Pair pair;
  TcpPair broken = makeTcpPair();
  EXPECT(poller->add(pair.ours.get(), Interest::ReadWrite, 1).ok());
  EXPECT(poller->add(broken.ours.get(), Interest::Read, 2).ok());
  EXPECT_EQ(uv_loop_alive(sharedLoop()), 0);
  EXPECT(setResetOnClose(broken.theirs.get()).ok());
  broken.theirs.close();
  turn();
  EXPECT(poller->remove(pair.ours.get()).ok());
  EXPECT(poller->add(pair.ours.get(), Interest::Read, 3).ok());
  poller->wake();
  poller.reset();
  settle();
  EXPECT_EQ(countHandles(), 0);
}

TEST("uv poller: a descriptor that was closed before its removal ends nothing") {
  const auto poller = makePoller();
  TcpPair pair = makeTcpPair();
  const int number = pair.ours.get();
  EXPECT(poller->add(number, Interest::Read, 1).ok());
  EXPECT(setResetOnClose(pair.theirs.get()).ok());
  pair.theirs.close();
  turn();
  pair.ours.close();
  EXPECT(has(waitOnce(*poller, 0), 1, Readiness::kError));
  turn();
  EXPECT(waitOnce(*poller, 0).empty());
  EXPECT(poller->remove(number).ok());
}

TEST("uv loop hooks: prepare and check every turn, readable while it is so, the timer once") {
  settle();
  Counts counts;
  Pair pair;
  {
    UvLoopHooks hooks;
    EXPECT(hooks.open(sharedLoop(), pair.ours.get(), counts.callbacks()).ok());
    turn();
    turn();
    EXPECT_EQ(counts.prepare, 2);
    EXPECT_EQ(counts.check, 2);
    EXPECT_EQ(counts.readable, 0);
    sendText(pair.theirs.get(), "x");
    turn();
    turn();
    EXPECT_EQ(counts.readable, 2);
    EXPECT_EQ(receiveText(pair.ours.get()), "x");
    hooks.startTimer(0);
    turn();
    turn();
    turn();
    EXPECT_EQ(counts.timer, 1);
    hooks.startTimer(0);
    hooks.stopTimer();
    turn();
    turn();
    EXPECT_EQ(counts.timer, 1);
    // Only the watch holds the loop, and only while it is referenced.
    EXPECT_EQ(uv_loop_alive(sharedLoop()), 0);
    hooks.setReferenced(true);
    EXPECT(uv_loop_alive(sharedLoop()) != 0);
    hooks.startTimer(60'000);
    hooks.setReferenced(false);
    EXPECT_EQ(uv_loop_alive(sharedLoop()), 0);
  }
  settle();
  EXPECT_EQ(countHandles(), 0);
}

TEST("uv loop hooks: no callback after close, and one call when all is closed") {
  settle();
  Counts counts;
  Pair pair;
  sendText(pair.theirs.get(), "x");
  UvLoopHooks hooks;
  EXPECT(hooks.open(sharedLoop(), pair.ours.get(), counts.callbacks()).ok());
  hooks.startTimer(0);
  int closed = 0;
  int handlesThen = -1;
  hooks.close([&] {
    closed++;
    handlesThen = countHandles();
  });
  EXPECT_EQ(closed, 0);
  settle();
  EXPECT_EQ(closed, 1);
  EXPECT_EQ(handlesThen, 0);
  EXPECT_EQ(counts.readable + counts.prepare + counts.check + counts.timer, 0);
  hooks.close([&] { closed++; });  // nothing to close: told at once
  EXPECT_EQ(closed, 2);
}

TEST("uv loop hooks: without a descriptor, and with one that cannot be watched") {
  settle();
  Counts counts;
  UvLoopHooks hooks;
  EXPECT(hooks.open(sharedLoop(), -1, counts.callbacks()).ok());
  EXPECT_EQ(uv_loop_alive(sharedLoop()), 0);
  hooks.setReferenced(true);
  EXPECT(uv_loop_alive(sharedLoop()) != 0);
  turn();
  EXPECT_EQ(counts.check, 1);
  hooks.close({});
  settle();
  UvLoopHooks refused;
  char path[] = "/tmp/gammaloop-hooks-XXXXXX";
  OwnedFd file(::mkstemp(path));
  ::unlink(path);
  EXPECT_EQ(codeOf(refused.open(sharedLoop(), file.get(), counts.callbacks())), EPERM);
  settle();
  EXPECT_EQ(countHandles(), 0);
}

TEST("uv loop: every handle of every case is closed, and the loop can be") {
  settle();
  EXPECT_EQ(countHandles(), 0);
  uv_close(reinterpret_cast<uv_handle_t*>(&shared().anchor), nullptr);
  uv_run(sharedLoop(), UV_RUN_NOWAIT);
  EXPECT_EQ(uv_loop_close(sharedLoop()), 0);
  shared().open();
}

namespace {

std::string textOf(napi_env env, napi_value value) {
  char text[256] = "";
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, text, sizeof(text), &length) != napi_ok) return "";
  return std::string(text, length);
}

napi_value run(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value filter = nullptr;
  napi_value result = nullptr;
  if (napi_get_cb_info(env, info, &count, &filter, nullptr, nullptr) != napi_ok) return nullptr;
  const int failed = runAll(count > 0 ? textOf(env, filter) : "");
  return napi_create_int32(env, failed, &result) == napi_ok ? result : nullptr;
}

napi_value names(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  if (napi_create_array(env, &list) != napi_ok) return nullptr;
  uint32_t index = 0;
  for (const Case& one : cases()) {
    napi_value name = nullptr;
    if (napi_create_string_utf8(env, one.name.data(), one.name.size(), &name) != napi_ok) return nullptr;
    if (napi_set_element(env, list, index++, name) != napi_ok) return nullptr;
  }
  return list;
}

}  // namespace

}  // namespace gammaloop::test

NAPI_MODULE_INIT() {
  const napi_property_descriptor properties[] = {
      {"run", nullptr, gammaloop::test::run, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"names", nullptr, gammaloop::test::names, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
  };
  return napi_define_properties(env, exports, 2, properties) == napi_ok ? exports : nullptr;
}
