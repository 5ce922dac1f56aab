// Conversions between JavaScript values and ours. Arguments were checked in TypeScript; what arrives here has the right
// shape.
#pragma once

#include <napi.h>

#include <cstring>
#include <string>

#include "base/result.h"
#include "ring/record_ring.h"
#include "sys/sockets.h"

namespace gammaloop {

inline uint32_t numberOf(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Number>().Uint32Value();
}

inline std::string textOf(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
}

// An Error with node's properties of a system error; TypeScript makes a coded error of it.
inline void throwSysError(Napi::Env env, const SysError& error) {
  Napi::Error thrown = Napi::Error::New(env, std::string(error.syscall) + ": " + std::strerror(error.code));
  thrown.Set("syscall", Napi::String::New(env, error.syscall));
  thrown.Set("errno", Napi::Number::New(env, -error.code));
  thrown.ThrowAsJavaScriptException();
}

inline Napi::Object endpointValue(Napi::Env env, const Endpoint& endpoint) {
  Napi::Object value = Napi::Object::New(env);
  if (endpoint.family == Endpoint::Family::V4 || endpoint.family == Endpoint::Family::V6) {
    value.Set("address", Napi::String::New(env, endpoint.addressText()));
    value.Set("family", Napi::String::New(env, endpoint.family == Endpoint::Family::V4 ? "IPv4" : "IPv6"));
    value.Set("port", Napi::Number::New(env, endpoint.port));
  }
  return value;
}

inline RingMemory ringMemory(const Napi::Value& control, const Napi::Value& data) {
  auto words = control.As<Napi::Uint32Array>();
  auto bytes = data.As<Napi::Uint8Array>();
  return {words.Data(), bytes.Data(), static_cast<uint32_t>(bytes.ByteLength())};
}

}  // namespace gammaloop
