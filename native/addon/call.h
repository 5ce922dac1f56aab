// The way from libuv's callbacks into JavaScript.
#pragma once

#include <napi.h>

#include <initializer_list>

namespace gammaloop {

// Calls `function` as the loop would: nextTick callbacks and microtasks run before it returns. The bridge catches what
// handlers throw, so an error is a worker being terminated, or an uncaughtException raised in a nextTick callback.
inline void callFromLoop(Napi::Env env, napi_value receiver, napi_value function,
                         std::initializer_list<napi_value> arguments = {}) {
  napi_value result;
  // No async context: whoever is called enters that of each thing that it tells of.
  if (napi_make_callback(env, nullptr, receiver, function, arguments.size(), std::data(arguments), &result) == napi_ok)
    return;
  bool pending = false;
  if (napi_is_exception_pending(env, &pending) != napi_ok || !pending) return;
  napi_value error;
  if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
}

}  // namespace gammaloop
