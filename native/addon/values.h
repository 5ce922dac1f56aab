// Conversions between JavaScript values and ours. Arguments were checked in TypeScript; what arrives here has the right
// shape.
#pragma once

#include <napi.h>

#include <cstring>
#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "http/http_server.h"
#include "ring/record_ring.h"
#include "sys/sockets.h"

namespace gammaloop {

inline uint32_t uint32Of(const Napi::Value& value) { return value.As<Napi::Number>().Uint32Value(); }

inline uint32_t numberOf(const Napi::Object& object, const char* name) {
  return object.Get(name).As<Napi::Number>().Uint32Value();
}

// True unless it is false.
inline bool isNotFalse(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return !value.IsBoolean() || value.As<Napi::Boolean>().Value();
}

inline bool isTrue(const Napi::Object& object, const char* name) { return object.Get(name).ToBoolean(); }

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

inline ListenTarget targetOf(const Napi::Value& value) {
  const Napi::Object options = value.As<Napi::Object>();
  ListenTarget target;
  target.address = textOf(options, "hostname");
  target.path = textOf(options, "path");
  if (options.Get("port").IsNumber()) target.port = static_cast<uint16_t>(numberOf(options, "port"));
  if (options.Get("fd").IsNumber()) target.fd = options.Get("fd").As<Napi::Number>().Int32Value();
  if (options.Get("backlog").IsNumber())
    target.options.backlog = options.Get("backlog").As<Napi::Number>().Int32Value();
  target.bound = isTrue(options, "bound");
  target.options.ipv6Only = isTrue(options, "ipv6Only");
  target.options.reusePort = isTrue(options, "reusePort");
  return target;
}

inline HttpLimits limitsOf(const Napi::Value& value) {
  const Napi::Object object = value.As<Napi::Object>();
  HttpLimits limits;
  limits.head.headerBytes = numberOf(object, "headerBytes");
  limits.head.headerCount = numberOf(object, "headerCount");
  limits.head.requireHost = isNotFalse(object, "requireHost");
  limits.head.nodeRules = isTrue(object, "nodeRules");
  limits.bodyBytes = static_cast<uint64_t>(object.Get("bodyBytes").As<Napi::Number>().Int64Value());
  limits.chunkOverheadBytes = numberOf(object, "chunkOverheadBytes");
  if (object.Get("chunkExtensionBytes").IsNumber()) {
    limits.chunkExtensionBytes = numberOf(object, "chunkExtensionBytes");
  }
  limits.connections = numberOf(object, "connections");
  limits.requestsPerConnection = numberOf(object, "requestsPerConnection");
  limits.pipelinedRequests = numberOf(object, "pipelinedRequests");
  limits.writeBufferBytes = numberOf(object, "writeBufferBytes");
  limits.upgrades = isTrue(object, "upgrades");
  return limits;
}

inline HttpTimeouts timeoutsOf(const Napi::Value& value) {
  const Napi::Object object = value.As<Napi::Object>();
  HttpTimeouts timeouts;
  timeouts.headersMs = numberOf(object, "headers");
  timeouts.requestMs = numberOf(object, "request");
  timeouts.keepAliveMs = numberOf(object, "keepAlive");
  timeouts.handlerMs = numberOf(object, "handler");
  timeouts.bodyRateWindowMs = numberOf(object, "bodyRateWindow");
  timeouts.minBodyBytesPerSecond = numberOf(object, "minBodyBytesPerSecond");
  timeouts.lingerMs = numberOf(object, "linger");
  return timeouts;
}

inline RingMemory ringMemory(const Napi::Value& control, const Napi::Value& data) {
  auto words = control.As<Napi::Uint32Array>();
  auto bytes = data.As<Napi::Uint8Array>();
  return {words.Data(), bytes.Data(), static_cast<uint32_t>(bytes.ByteLength())};
}

}  // namespace gammaloop
