#include "addon/datagram_wrap.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "addon/values.h"
#include "sys/datagrams.h"

namespace gammaloop {

namespace {

constexpr uint32_t kTruncatedBit = 0x80000000;
constexpr size_t kWords = DatagramWrap::kWords;
constexpr uint32_t kCountBits = 8;
static_assert(kMaxDatagrams < 1 << kCountBits);

std::span<uint32_t> wordsOf(const Napi::Value& value) {
  auto words = value.As<Napi::Uint32Array>();
  return {words.Data(), words.ElementLength()};
}

void putEndpoint(const Endpoint& endpoint, uint32_t* words) {
  const uint32_t family = endpoint.family == Endpoint::Family::V4 ? 4 : endpoint.family == Endpoint::Family::V6 ? 6 : 0;
  words[2] = family << 16 | endpoint.port;
  words[3] = endpoint.scopeId;
  std::memcpy(words + 4, endpoint.address, sizeof(endpoint.address));
}

Endpoint endpointAt(const uint32_t* words) {
  Endpoint endpoint;
  const uint32_t family = words[2] >> 16;
  endpoint.family = family == 4 ? Endpoint::Family::V4 : family == 6 ? Endpoint::Family::V6 : Endpoint::Family::None;
  endpoint.port = static_cast<uint16_t>(words[2]);
  endpoint.scopeId = words[3];
  std::memcpy(endpoint.address, words + 4, sizeof(endpoint.address));
  return endpoint;
}

// A count, and above it the errno of what came behind.
Napi::Value movedValue(Napi::Env env, const Moved& moved) {
  return Napi::Number::New(env, static_cast<uint32_t>(moved.error.code) << kCountBits | moved.count);
}

Napi::Value errnoOf(Napi::Env env, const Result<void>& result) {
  return Napi::Number::New(env, result ? 0 : -result.error().code);
}

}  // namespace

Napi::Function DatagramWrap::define(Napi::Env env) {
  return DefineClass(env, "Datagram",
                     {
                         InstanceMethod<&DatagramWrap::fd>("fd"),
                         InstanceMethod<&DatagramWrap::ends>("ends"),
                         InstanceMethod<&DatagramWrap::receive>("receive"),
                         InstanceMethod<&DatagramWrap::send>("send"),
                         InstanceMethod<&DatagramWrap::setOption>("setOption"),
                         InstanceMethod<&DatagramWrap::option>("option"),
                         InstanceMethod<&DatagramWrap::changeMembership>("changeMembership"),
                         InstanceMethod<&DatagramWrap::setMulticastInterface>("setMulticastInterface"),
                         InstanceMethod<&DatagramWrap::close>("close"),
                         StaticMethod<&DatagramWrap::parse>("parse"),
                         StaticMethod<&DatagramWrap::text>("text"),
                     });
}

DatagramWrap::DatagramWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<DatagramWrap>(info) {
  const Napi::Object given = info[0].As<Napi::Object>();
  DatagramOptions options;
  options.address = textOf(given, "hostname");
  options.port = static_cast<uint16_t>(numberOf(given, "port"));
  options.remoteAddress = textOf(given, "remoteHostname");
  options.remotePort = static_cast<uint16_t>(numberOf(given, "remotePort"));
  options.ipv6Only = isTrue(given, "ipv6Only");
  options.reuseAddress = isTrue(given, "reuseAddr");
  options.reusePort = isTrue(given, "reusePort");
  options.broadcast = isTrue(given, "broadcast");
  options.receiveBufferBytes = numberOf(given, "receiveBufferBytes");
  options.sendBufferBytes = numberOf(given, "sendBufferBytes");
  Result<OwnedFd> opened = openDatagramSocket(options);
  if (opened) {
    fd_ = std::move(opened.value());
  } else {
    throwSysError(info.Env(), opened.error());
  }
}

Napi::Value DatagramWrap::fd(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), fd_.get()); }

// () to [remote endpoint, local endpoint]
Napi::Value DatagramWrap::ends(const Napi::CallbackInfo& info) {
  const Result<Endpoint> remote = peerEndpoint(fd_.get());
  const Result<Endpoint> local = localEndpoint(fd_.get());
  Napi::Array both = Napi::Array::New(info.Env(), 2);
  both.Set(0u, endpointValue(info.Env(), remote ? remote.value() : Endpoint{}));
  both.Set(1u, endpointValue(info.Env(), local ? local.value() : Endpoint{}));
  return both;
}

// (memory, words): as many as there is room for in equal parts of the memory. To what became of them.
Napi::Value DatagramWrap::receive(const Napi::CallbackInfo& info) {
  auto memory = info[0].As<Napi::Uint8Array>();
  const std::span<uint32_t> words = wordsOf(info[1]);
  const size_t room = std::min(kMaxDatagrams, words.size() / kWords);
  if (room == 0) return Napi::Number::New(info.Env(), 0);
  const size_t partBytes = memory.ByteLength() / room;
  std::array<Datagram, kMaxDatagrams> batch;
  for (size_t i = 0; i < room; i++) batch[i].bytes = {memory.Data() + i * partBytes, partBytes};
  const Moved moved = receiveDatagrams(fd_.get(), std::span(batch).first(room));
  for (size_t i = 0; i < moved.count; i++) {
    uint32_t* const record = words.data() + i * kWords;
    record[0] = static_cast<uint32_t>(i * partBytes);
    record[1] = static_cast<uint32_t>(batch[i].bytes.size()) | (batch[i].truncated ? kTruncatedBit : 0);
    putEndpoint(batch[i].peer, record);
  }
  return movedValue(info.Env(), moved);
}

// (memory, words, count) to what became of them
Napi::Value DatagramWrap::send(const Napi::CallbackInfo& info) {
  auto memory = info[0].As<Napi::Uint8Array>();
  const std::span<uint8_t> bytes = {memory.Data(), memory.ByteLength()};
  const std::span<const uint32_t> words = wordsOf(info[1]);
  const size_t count = std::min<size_t>({uint32Of(info[2]), kMaxDatagrams, words.size() / kWords});
  std::array<Datagram, kMaxDatagrams> batch;
  for (size_t i = 0; i < count; i++) {
    const uint32_t* const record = words.data() + i * kWords;
    if (size_t{record[0]} + record[1] > bytes.size()) return movedValue(info.Env(), {0, {"sendmsg", EINVAL}});
    batch[i].bytes = bytes.subspan(record[0], record[1]);
    batch[i].peer = endpointAt(record);
  }
  return movedValue(info.Env(), sendDatagrams(fd_.get(), std::span<const Datagram>(batch).first(count)));
}

// (option, value) to 0 or a negative errno
Napi::Value DatagramWrap::setOption(const Napi::CallbackInfo& info) {
  const uint32_t option = uint32Of(info[0]);
  if (option >= kDatagramOptionCount) return Napi::Number::New(info.Env(), -EINVAL);
  const int value = info[1].As<Napi::Number>().Int32Value();
  return errnoOf(info.Env(), setDatagramOption(fd_.get(), static_cast<DatagramOption>(option), value));
}

// (option) to its value, or a negative errno
Napi::Value DatagramWrap::option(const Napi::CallbackInfo& info) {
  const uint32_t option = uint32Of(info[0]);
  if (option >= kDatagramOptionCount) return Napi::Number::New(info.Env(), -EINVAL);
  const Result<int> value = datagramOption(fd_.get(), static_cast<DatagramOption>(option));
  return Napi::Number::New(info.Env(), value ? value.value() : -value.error().code);
}

// (join, group, interface, source) to 0 or a negative errno
Napi::Value DatagramWrap::changeMembership(const Napi::CallbackInfo& info) {
  const bool join = info[0].As<Napi::Boolean>().Value();
  const Membership membership = {info[1].As<Napi::String>().Utf8Value(), info[2].As<Napi::String>().Utf8Value(),
                                 info[3].As<Napi::String>().Utf8Value()};
  return errnoOf(info.Env(), join ? joinGroup(fd_.get(), membership) : leaveGroup(fd_.get(), membership));
}

// (interface) to 0 or a negative errno
Napi::Value DatagramWrap::setMulticastInterface(const Napi::CallbackInfo& info) {
  const std::string interface = info[0].As<Napi::String>().Utf8Value();
  return errnoOf(info.Env(), gammaloop::setMulticastInterface(fd_.get(), interface));
}

// (address, port, words): false where it is not a literal address
Napi::Value DatagramWrap::parse(const Napi::CallbackInfo& info) {
  const Result<Endpoint> parsed =
      parseEndpoint(info[0].As<Napi::String>().Utf8Value(), static_cast<uint16_t>(uint32Of(info[1])));
  if (parsed) putEndpoint(parsed.value(), wordsOf(info[2]).data());
  return Napi::Boolean::New(info.Env(), static_cast<bool>(parsed));
}

// (words, index of the datagram) to its address
Napi::Value DatagramWrap::text(const Napi::CallbackInfo& info) {
  const std::span<uint32_t> words = wordsOf(info[0]);
  return Napi::String::New(info.Env(), endpointAt(words.data() + uint32Of(info[1]) * kWords).addressText());
}

}  // namespace gammaloop
