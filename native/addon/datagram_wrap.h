// DatagramWrap: one datagram socket as JavaScript has it: batches of datagrams in memory that JavaScript gives. Who
// watches the descriptor is JavaScript's matter (lib/net/native-datagram.ts). Owns the socket, until close() or the
// garbage collection. Thread: the environment's.
#pragma once

#include <napi.h>

#include "sys/sockets.h"

namespace gammaloop {

class DatagramWrap final : public Napi::ObjectWrap<DatagramWrap> {
 public:
  // Of one datagram in the array of words: offset in the memory, length (the highest bit: truncated), family (0, 4 or
  // 6) above the port, scope, and four words of address in the order of the bytes.
  static constexpr size_t kWords = 8;

  static Napi::Function define(Napi::Env env);
  // new Datagram({ hostname, port, remoteHostname, remotePort, ipv6Only, reuseAddr, reusePort, broadcast,
  //                receiveBufferBytes, sendBufferBytes })
  explicit DatagramWrap(const Napi::CallbackInfo& info);

 private:
  Napi::Value fd(const Napi::CallbackInfo& info);
  Napi::Value ends(const Napi::CallbackInfo& info);
  Napi::Value receive(const Napi::CallbackInfo& info);
  Napi::Value send(const Napi::CallbackInfo& info);
  Napi::Value setOption(const Napi::CallbackInfo& info);
  Napi::Value option(const Napi::CallbackInfo& info);
  Napi::Value changeMembership(const Napi::CallbackInfo& info);
  Napi::Value setMulticastInterface(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo&) { fd_.close(); }
  static Napi::Value parse(const Napi::CallbackInfo& info);
  static Napi::Value text(const Napi::CallbackInfo& info);

  OwnedFd fd_;
};

}  // namespace gammaloop
