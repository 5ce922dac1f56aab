// The half of EngineWrap that the drop-in for node:http uses: servers apart from their listeners, wire sessions, and
// connections that come from elsewhere. A server or a connection that is unknown, or has gone: nothing happens, or the
// result says so.
#include <algorithm>
#include <array>
#include <cerrno>

#include "addon/engine_wrap.h"
#include "addon/values.h"

namespace gammaloop {

namespace {

SlabKey keyOf(const Napi::CallbackInfo& info) { return {uint32Of(info[0]), uint32Of(info[1])}; }

Napi::Value keyValue(Napi::Env env, SlabKey key) {
  Napi::Array value = Napi::Array::New(env, 2);
  value.Set(0u, Napi::Number::New(env, key.index));
  value.Set(1u, Napi::Number::New(env, key.generation));
  return value;
}

// 0, or a negative errno.
Napi::Value statusValue(Napi::Env env, const Result<void>& result) {
  return Napi::Number::New(env, result ? 0 : -result.error().code);
}

}  // namespace

// (limits, timeouts, kind: 'http' | 'wire' | 'raw') to the server's index
Napi::Value EngineWrap::openServer(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return info.Env().Undefined();
  const std::string name = info[2].As<Napi::String>().Utf8Value();
  const ServerKind kind = name == "raw" ? ServerKind::Raw : name == "wire" ? ServerKind::Wire : ServerKind::Http;
  return Napi::Number::New(info.Env(), engine_->openServer(limitsOf(info[0]), timeoutsOf(info[1]), kind));
}

// (server, { hostname, port, path, localAddress, localPort }) to the connection's key
Napi::Value EngineWrap::connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<SlabKey> connecting = SysError{"connect", EBADF};
  if (hasServer(info)) {
    const Napi::Object target = info[1].As<Napi::Object>();
    ConnectOptions options;
    options.address = textOf(target, "hostname");
    options.localAddress = textOf(target, "localAddress");
    if (target.Get("port").IsNumber()) options.port = static_cast<uint16_t>(numberOf(target, "port"));
    if (target.Get("localPort").IsNumber()) options.localPort = static_cast<uint16_t>(numberOf(target, "localPort"));
    connecting = engine_->connect(uint32Of(info[0]), options, textOf(target, "path"));
  }
  if (connecting) return keyValue(env, connecting.value());
  throwSysError(env, connecting.error());
  return env.Undefined();
}

// (server, target)
void EngineWrap::listenOn(const Napi::CallbackInfo& info) {
  if (!hasServer(info)) return throwSysError(info.Env(), {"listen", EBADF});
  const Result<void> listening = engine_->listenOn(uint32Of(info[0]), targetOf(info[1]));
  if (!listening) throwSysError(info.Env(), listening.error());
}

void EngineWrap::stopListening(const Napi::CallbackInfo& info) {
  if (hasServer(info)) engine_->stopListening(uint32Of(info[0]));
}

// (server, limits, timeouts)
void EngineWrap::configure(const Napi::CallbackInfo& info) {
  if (hasServer(info)) engine_->configure(uint32Of(info[0]), limitsOf(info[1]), timeoutsOf(info[2]));
}

void EngineWrap::closeIdle(const Napi::CallbackInfo& info) {
  if (hasServer(info)) engine_->closeIdle(uint32Of(info[0]));
}

// (server, fd) to the connection's key. The descriptor stays the caller's: it is duplicated.
Napi::Value EngineWrap::adopt(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Result<SlabKey> adopted = SysError{"accept", EBADF};
  if (hasServer(info)) {
    const Result<int> copy = duplicateFd(info[1].As<Napi::Number>().Int32Value());
    adopted = copy ? engine_->adopt(uint32Of(info[0]), copy.value()) : Result<SlabKey>(copy.error());
  }
  if (adopted) return keyValue(env, adopted.value());
  throwSysError(env, adopted.error());
  return env.Undefined();
}

// (server) to the connection's key
Napi::Value EngineWrap::openFed(const Napi::CallbackInfo& info) {
  if (!hasServer(info)) return info.Env().Undefined();
  return keyValue(info.Env(), engine_->openFed(uint32Of(info[0])));
}

// (index, generation, bytes)
void EngineWrap::feed(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr || !info[2].IsTypedArray()) return;
  const auto bytes = info[2].As<Napi::Uint8Array>();
  engine_->feed(keyOf(info), {bytes.Data(), bytes.ByteLength()});
}

void EngineWrap::feedEnd(const Napi::CallbackInfo& info) {
  if (engine_ != nullptr) engine_->feedEnd(keyOf(info));
}

// (index, generation, errno; 0: in order)
void EngineWrap::feedClosed(const Napi::CallbackInfo& info) {
  if (engine_ != nullptr) engine_->feedClosed(keyOf(info), info[2].As<Napi::Number>().Int32Value());
}

Napi::Value EngineWrap::wireSent(const Napi::CallbackInfo& info) {
  const Connection* connection = connectionOf(info);
  return Napi::Number::New(info.Env(), connection == nullptr ? -1.0 : static_cast<double>(connection->sentBytes()));
}

// What a message may cost a call of: functions that know their engine, past the look-ups of a method.

void EngineWrap::defineQuickFunctions(Napi::Object self) {
  const auto define = [&](const char* name, napi_callback callback) {
    napi_value function;
    if (napi_create_function(Env(), name, NAPI_AUTO_LENGTH, callback, this, &function) == napi_ok)
      self.Set(name, function);
  };
  define("wireSendNow", [](napi_env env, napi_callback_info info) { return quickly(env, info, &EngineWrap::sendNow); });
  define("wireReceive", [](napi_env env, napi_callback_info info) { return quickly(env, info, &EngineWrap::receive); });
}

// (index, generation, memory, a number) to a count
napi_value EngineWrap::quickly(napi_env env, napi_callback_info info, QuickFunction function) {
  size_t count = 4;
  std::array<napi_value, 4> arguments{};
  void* self = nullptr;
  uint32_t result = 0;
  SlabKey key;
  uint8_t* memory = nullptr;
  size_t byteCount = 0;
  uint32_t number = 0;
  if (napi_get_cb_info(env, info, &count, arguments.data(), nullptr, &self) == napi_ok &&
      napi_get_value_uint32(env, arguments[0], &key.index) == napi_ok &&
      napi_get_value_uint32(env, arguments[1], &key.generation) == napi_ok &&
      napi_get_typedarray_info(env, arguments[2], nullptr, &byteCount, reinterpret_cast<void**>(&memory), nullptr,
                               nullptr) == napi_ok &&
      napi_get_value_uint32(env, arguments[3], &number) == napi_ok) {
    auto* wrap = static_cast<EngineWrap*>(self);
    if (wrap->engine_ != nullptr) result = (wrap->*function)(key, {memory, byteCount}, number);
  }
  napi_value value = nullptr;
  return napi_create_uint32(env, result, &value) == napi_ok ? value : nullptr;
}

// `bytes` are those behind `position`.
uint32_t EngineWrap::sendNow(SlabKey key, std::span<uint8_t> bytes, uint32_t position) {
  return static_cast<uint32_t>(engine_->sendNow(key, position, bytes));
}

uint32_t EngineWrap::receive(SlabKey key, std::span<uint8_t> memory, uint32_t most) {
  return static_cast<uint32_t>(engine_->receive(key, memory.first(std::min<size_t>(memory.size(), most))));
}

Napi::Value EngineWrap::wireReceived(const Napi::CallbackInfo& info) {
  const Connection* connection = connectionOf(info);
  const double count = connection == nullptr ? -1.0 : static_cast<double>(connection->receivedBytes());
  return Napi::Number::New(info.Env(), count);
}

Napi::Value EngineWrap::wireReceiving(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), engine_ != nullptr && engine_->isReceiving(keyOf(info)));
}

// (index, generation) to [descriptor, bytes], or undefined
Napi::Value EngineWrap::release(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return info.Env().Undefined();
  std::vector<uint8_t> input;
  const Result<int> fd = engine_->release(keyOf(info), input);
  if (!fd) return info.Env().Undefined();
  Napi::Array given = Napi::Array::New(info.Env(), 2);
  given.Set(0u, Napi::Number::New(info.Env(), fd.value()));
  given.Set(1u, Napi::Buffer<uint8_t>::Copy(info.Env(), input.data(), input.size()));
  return given;
}

Napi::Value EngineWrap::connectionFd(const Napi::CallbackInfo& info) {
  const Connection* connection = connectionOf(info);
  return Napi::Number::New(info.Env(), connection == nullptr ? -1 : connection->fd());
}

// (index, generation, on)
Napi::Value EngineWrap::setNoDelay(const Napi::CallbackInfo& info) {
  const Connection* connection = connectionOf(info);
  if (connection == nullptr) return statusValue(info.Env(), SysError{"setsockopt", EBADF});
  return statusValue(info.Env(), gammaloop::setNoDelay(connection->fd(), info[2].ToBoolean()));
}

// (index, generation, on, delaySeconds)
Napi::Value EngineWrap::setKeepAlive(const Napi::CallbackInfo& info) {
  const Connection* connection = connectionOf(info);
  if (connection == nullptr) return statusValue(info.Env(), SysError{"setsockopt", EBADF});
  const uint32_t seconds = info[3].IsNumber() ? uint32Of(info[3]) : 0;
  return statusValue(info.Env(), gammaloop::setKeepAlive(connection->fd(), info[2].ToBoolean(), seconds));
}

// (index, generation, referenced)
void EngineWrap::setConnectionReferenced(const Napi::CallbackInfo& info) {
  if (engine_ != nullptr) engine_->setConnectionReferenced(keyOf(info), info[2].ToBoolean());
}

// (index, generation): bytes that wait to be sent
Napi::Value EngineWrap::queuedBytes(const Napi::CallbackInfo& info) {
  const size_t count = engine_ == nullptr ? 0 : engine_->queuedBytes(keyOf(info));
  return Napi::Number::New(info.Env(), static_cast<double>(count));
}

// (server, topic)
Napi::Value EngineWrap::subscriberCount(const Napi::CallbackInfo& info) {
  if (engine_ == nullptr) return Napi::Number::New(info.Env(), 0);
  const std::string topic = info[1].As<Napi::String>().Utf8Value();
  return Napi::Number::New(info.Env(), static_cast<double>(engine_->subscriberCount(uint32Of(info[0]), topic)));
}

}  // namespace gammaloop
