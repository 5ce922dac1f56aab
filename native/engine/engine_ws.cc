// The half of Engine that deals with WebSockets: how a connection becomes one, and what is submitted to it.
#include <cerrno>

#include "engine/engine.h"
#include "http/wire_session.h"

namespace gammaloop {

using namespace records;  // NOLINT: the border's names

namespace {

SlabKey keyOf(const uint8_t* record) {
  return {loadWord(record, kExchangeIndexOffset), loadWord(record, kExchangeGenerationOffset)};
}

std::span<const uint8_t> writtenBytes(const uint8_t* record) {
  return {record + kWriteBytes, loadWord(record, kWriteLengthOffset)};
}

std::string_view textOf(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

WsSendFlags sendFlagsOf(uint32_t flags) {
  return {(flags & kWsSendBinaryFlag) != 0, (flags & kWsSendCompressFlag) != 0, (flags & kWsSendMoreFlag) != 0};
}

DeflateOptions deflateOptionsOf(uint32_t word, uint32_t thresholdBytes) {
  DeflateOptions options;
  options.enabled = word != 0;
  options.serverWindowBits = word & 0xf;
  options.clientWindowBits = word >> 4 & 0xf;
  options.level = static_cast<int8_t>((word >> 8 & 0xf) - 1);
  options.memLevel = word >> 12 & 0xf;
  options.serverTakeover = (word >> 16 & 1) != 0;
  options.clientTakeover = (word >> 17 & 1) != 0;
  options.thresholdBytes = thresholdBytes;
  return options;
}

WsOptions optionsOf(const uint8_t* record, uint32_t flags) {
  WsOptions options;
  options.maxPayloadBytes = loadWord(record, kWsPayloadLimitOffset);
  options.maxFragments = loadWord(record, kWsFragmentLimitOffset);
  options.maxBufferedBytes = loadWord(record, kWsBufferLimitOffset);
  options.idleMs = loadWord(record, kWsIdleTimeoutOffset);
  options.pingMs = loadWord(record, kWsPingIntervalOffset);
  options.closeMs = loadWord(record, kWsCloseTimeoutOffset);
  options.autoPong = flags & kWsAutoPongFlag;
  options.checksUtf8 = !(flags & kWsUncheckedFlag);
  options.deflate = deflateOptionsOf(loadWord(record, kWsDeflateOffset), loadWord(record, kWsThresholdOffset));
  return options;
}

}  // namespace

void Engine::carryOutWebSocket(const uint8_t* record, uint32_t opcode, uint32_t flags) {
  if (opcode == kWsAccept) return accept(record, flags);
  if (opcode == kWsPublish) return publish(record, flags);
  Connection* found = reactor_.connection(keyOf(record));
  if (found == nullptr || found->state() == ConnectionState::Closed) return;  // nobody is there for what comes late
  if (opcode == kWsAttach) return attach(*found, record, flags);
  if (!found->session()->isWebSocket()) return;
  auto& session = *static_cast<WsSession*>(found->session());
  if (session.isOver()) return;
  switch (opcode) {
    case kWsBegin:
      return session.begin(writtenBytes(record), flags & kWsSendMoreFlag);
    case kWsSend: {
      const uint64_t total =
          uint64_t{loadWord(record, kWsSendTotalHighOffset)} << 32 | loadWord(record, kWsSendTotalLowOffset);
      return session.send({record + kWsSendBytes, loadWord(record, kWsSendLengthOffset)}, total, sendFlagsOf(flags));
    }
    case kWsSendRest:
      return session.sendRest(writtenBytes(record));
    case kWsSendPing:
      return session.sendPing(writtenBytes(record));
    case kWsSendPong:
      return session.sendPong(writtenBytes(record));
    case kWsClose:
      return session.close(static_cast<uint16_t>(loadWord(record, kWsCloseCodeOffset)),
                           {record + kWsCloseBytes, loadWord(record, kWsCloseLengthOffset)});
    case kWsTerminate:
      return session.terminate();
    case kWsReading:
      return session.setPaused(!(flags & kWireReadingOnFlag));
    case kWsNotify: {
      const uint32_t number = loadWord(record, kConsumeCountOffset);
      return number == 0 ? session.notifyDrained() : session.notifyFlushed(number);
    }
    case kWsSubscribe:
      return session.subscribe(textOf(writtenBytes(record)));
    case kWsUnsubscribe:
      return session.unsubscribe(textOf(writtenBytes(record)));
    default:
      GAMMALOOP_CHECK(!"known submission opcode");
  }
}

// Where it is too late for the answer, the WebSocket that the application has been given is over at once.
void Engine::accept(const uint8_t* record, uint32_t flags) {
  const SlabKey connectionKey{loadWord(record, kWsConnectionIndexOffset),
                              loadWord(record, kWsConnectionGenerationOffset)};
  Exchange* exchange = http_.exchanges.get(keyOf(record));
  const std::span<const uint8_t> fields{record + kWsAcceptBytes, loadWord(record, kWsFieldLengthOffset)};
  if (exchange == nullptr || !exchange->session.upgrade(*exchange, textOf(fields))) {
    return completions_.onWsClosed(connectionKey, 0);
  }
  Connection& connection = *reactor_.connection(connectionKey);
  auto& below = *static_cast<Http1Session*>(connection.session());
  const std::vector<uint8_t> input = below.takeInput();
  TopicTable& topics = servers_[below.server().index]->topics;
  auto place = std::make_unique<UpgradedSession>(connection, below.server());
  const std::unique_ptr<Session> over = connection.giveUpSession();
  auto session = std::make_unique<WsSession>(connection, ws_, optionsOf(record, flags), &topics, std::move(place));
  WsSession& begun = *session;
  connection.start(std::move(session));
  begun.begin(input);
}

// On a connection of the drop-in, whose session stays below: it tells of the connection's end, and what a program does
// to its socket goes through it. What was read and not told is told, for the application may have older bytes:
// it gives all of them back with kWsBegin.
void Engine::attach(Connection& connection, const uint8_t* record, uint32_t flags) {
  Session* session = connection.session();
  const bool isWire = !session->isWebSocket() && static_cast<RequestReader*>(session)->isWire();
  if (!isWire || static_cast<WireSession*>(session)->isOver()) return;  // its end has been told
  auto& below = *static_cast<WireSession*>(session);
  std::vector<uint8_t> input = below.handOver();
  connection.pauseReading();
  if (!input.empty()) completions_.onWireData(connection.key(), input);
  std::unique_ptr<Session> given = connection.giveUpSession();
  connection.start(std::make_unique<WsSession>(connection, ws_, optionsOf(record, flags), nullptr, std::move(given)));
  completions_.wsAttached(connection.key());
}

void Engine::publish(const uint8_t* record, uint32_t flags) {
  const uint8_t* text = record + kWsPublishBytes;
  const uint32_t topicBytes = loadWord(record, kWsPublishTopicLengthOffset);
  std::span<const uint8_t> bytes{text + topicBytes, loadWord(record, kWsPublishLengthOffset)};
  const bool more = flags & kWsSendMoreFlag;
  if (more || !published_.empty()) published_.insert(published_.end(), bytes.begin(), bytes.end());
  if (more) return;
  std::vector<uint8_t> gathered;
  gathered.swap(published_);
  if (!gathered.empty()) bytes = gathered;
  const SlabKey key = keyOf(record);
  TopicTable* topics = nullptr;
  WsSession* from = nullptr;
  if (flags & kWsServerFlag) {
    if (has(key.index)) topics = &servers_[key.index]->topics;
  } else if (Connection* found = reactor_.connection(key); found != nullptr && found->session()->isWebSocket()) {
    from = static_cast<WsSession*>(found->session());
    topics = from->topics();
  }
  if (topics == nullptr) return;
  const WsSendFlags send = sendFlagsOf(flags);
  const Publication publication(reactor_, ws_.streams, ws_.deflated, bytes, send.binary, send.compress);
  topics->publish({reinterpret_cast<const char*>(text), topicBytes}, publication, from);
}

size_t Engine::subscriberCount(uint32_t server, std::string_view topic) {
  return has(server) ? servers_[server]->topics.subscriberCount(topic) : 0;
}

// What waits to be sent; 0 where it has gone.
size_t Engine::queuedBytes(SlabKey key) {
  Connection* found = reactor_.connection(key);
  return found == nullptr ? 0 : found->queuedBytes();
}

}  // namespace gammaloop
