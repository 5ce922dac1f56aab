// ServedSession: a session that counts among its server's connections: there the server finds it, to close or to cut
// it. Owned by its connection, or by the session that has taken the connection over. Thread: the reactor's.
#pragma once

#include <cstdint>

#include "http/http_server.h"
#include "reactor/connection.h"

namespace gammaloop {

class ServedSession : public Session, public ListNode<ServerTag> {
 public:
  virtual bool isWire() const = 0;
  // The server is closing: closed if nothing is in flight, after a last look for a request that has just arrived.
  virtual void closeIfIdle() = 0;
  // Cuts the connection; returns the number of requests that were in flight.
  virtual uint32_t cut() = 0;
  HttpServer& server() { return server_; }
  const HttpServer& server() const { return server_; }
  Connection& connection() { return connection_; }
  const Connection& connection() const { return connection_; }

 protected:
  ServedSession(Connection& connection, HttpServer& server) : connection_(connection), server_(server) {
    server_.sessions.pushBack(*this);
  }

  Connection& connection_;
  HttpServer& server_;
};

// What is left of an Http1Session once its connection is something else: its place.
class UpgradedSession final : public ServedSession {
 public:
  UpgradedSession(Connection& connection, HttpServer& server) : ServedSession(connection, server) {}

  bool isWire() const override { return false; }
  void closeIfIdle() override {}
  uint32_t cut() override {
    connection_.destroy(CloseReason::Local, false);
    return 0;
  }
  void onClosed(CloseReason) override {
    server_.counters.connectionsClosed++;
    ListNode<ServerTag>::unlink();
  }

  // The session above is told of these.
  void onBytes(std::span<const uint8_t>) override {}
  void onEndOfStream() override {}
  void onDrained() override {}
  void onDeadline(uint64_t) override {}
};

}  // namespace gammaloop
