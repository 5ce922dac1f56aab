// Module init: what lib/bridge/binding.ts sees. One instance an environment (the main thread, or a worker): nothing
// here is global.
#include <napi.h>

#include "addon/child_control.h"
#include "addon/datagram_wrap.h"
#include "addon/engine_wrap.h"
#include "addon/inbox_wrap.h"
#include "addon/native_lane_wrap.h"
#include "addon/runner_wrap.h"
#include "addon/selector_wrap.h"
#include "http/http_server.h"
#include "http/http_types.h"
#include "sys/zlib_streams.h"

namespace gammaloop {

namespace {

Napi::Array namesOf(Napi::Env env, uint32_t count, std::string_view (*nameAt)(uint32_t)) {
  Napi::Array names = Napi::Array::New(env, count);
  for (uint32_t i = 0; i < count; i++) names.Set(i, Napi::String::New(env, std::string(nameAt(i))));
  return names;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Engine", EngineWrap::define(env));
  exports.Set("RunnerPool", RunnerPool::define(env));
  exports.Set("RunnerConsumer", RunnerConsumer::define(env));
  exports.Set("Selector", SelectorWrap::define(env));
  exports.Set("wakeSelector", Napi::Function::New<SelectorWrap::wakeById>(env, "wakeSelector"));
  exports.Set("Datagram", DatagramWrap::define(env));
  exports.Set("Inbox", InboxWrap::define(env));
  exports.Set("postToInbox", Napi::Function::New<InboxWrap::post>(env, "postToInbox"));
  exports.Set("NativeLane", NativeLane::define(env));
  exports.Set("ChildControl", ChildControl::define(env));
  // Tables of the border, for the bridge to check its own against and to name counters by.
  exports.Set("methods", namesOf(env, kMethodCount, [](uint32_t i) { return methodName(static_cast<Method>(i)); }));
  exports.Set("headerNames", namesOf(env, static_cast<uint32_t>(HeaderId::Count),
                                     [](uint32_t i) { return headerName(static_cast<HeaderId>(i)); }));
  exports.Set("httpErrors", namesOf(env, static_cast<uint32_t>(HttpError::Count),
                                    [](uint32_t i) { return nameOf(static_cast<HttpError>(i)); }));
  exports.Set("sessionErrors", namesOf(env, static_cast<uint32_t>(SessionError::Count),
                                       [](uint32_t i) { return nameOf(static_cast<SessionError>(i)); }));
  exports.Set("hasZlib", Napi::Boolean::New(env, isZlibAvailable()));
  return exports;
}

}  // namespace

NODE_API_MODULE(gammaloop, init)

}  // namespace gammaloop
