// The border, mirrored from native/ring/records.h (the comments stand there). test/architecture/records.test.ts compares the two:
// kRequestBytes there is REQUEST_BYTES here.

export const RECORD_ALIGN = 8;

// Ring control block (an array of 32-bit words, shared): positions count bytes ever written or read, modulo 2^32.
export const HEAD_WORD = 0;
export const TAIL_WORD = 1;
export const CONTROL_WORDS = 2;

// Every record.
export const SIZE_OFFSET = 0;
export const OPCODE_OFFSET = 4;
export const EXCHANGE_INDEX_OFFSET = 8;
export const EXCHANGE_GENERATION_OFFSET = 12;
export const HEADER_BYTES = 16;

// Completions: native to JavaScript.
export const PAD = 0;
export const REQUEST = 1;
export const BODY = 2;
export const BODY_END = 3;
export const ABORT = 4;
export const WRITABLE = 5;
export const SERVER_CLOSED = 6;

// Completions of wire sessions: the key is the connection's.
export const WIRE_OPEN = 7;
export const WIRE_REQUEST = 8;
export const WIRE_BODY = 9;
export const WIRE_BODY_END = 10;
export const WIRE_DATA = 11;
export const WIRE_END = 12;
export const WIRE_ERROR = 13;
export const WIRE_CLOSED = 14;
export const WIRE_FLUSHED = 15;
export const WIRE_IDLE = 16;
export const WIRE_OUTPUT = 17;
export const WIRE_TRANSPORT = 18;
export const WIRE_CONNECTED = 19;
export const WIRE_READABLE = 20;

// kRequest
export const REQUEST_SERVER_OFFSET = 16;
export const REQUEST_METHOD_OFFSET = 20;
export const REQUEST_VERSION_MINOR_OFFSET = 24;
export const REQUEST_HEADER_COUNT_OFFSET = 28;
export const REQUEST_TARGET_LENGTH_OFFSET = 32;
export const REQUEST_TEXT_LENGTH_OFFSET = 36;
export const REQUEST_BODY_LENGTH_OFFSET = 40;
export const REQUEST_CONNECTION_INDEX_OFFSET = 44;
export const REQUEST_CONNECTION_GENERATION_OFFSET = 48;
export const REQUEST_BYTES = 56;
export const REQUEST_HAS_BODY_FLAG = 1;
export const REQUEST_BODY_COMPLETE_FLAG = 2;
export const REQUEST_KEEP_ALIVE_FLAG = 4;
export const REQUEST_EXPECT_CONTINUE_FLAG = 8;
export const REQUEST_UPGRADE_FLAG = 16;
export const REQUEST_EXPECT_OTHER_FLAG = 32;

// kBody
export const BODY_LENGTH_OFFSET = 16;
export const BODY_BYTES = 24;
export const BODY_LENT_FLAG = 1;
export const BODY_LENT_LAST_FLAG = 2;
export const BODY_LENT_SLOT_OFFSET = 20;
export const BODY_LENT_START_OFFSET = 24;
export const BODY_LENT_BYTES = 32;

// kBodyEnd
export const BODY_END_HEADER_COUNT_OFFSET = 16;
export const BODY_END_TEXT_LENGTH_OFFSET = 20;
export const BODY_END_BYTES = 24;

// kAbort
export const ABORT_REASON_OFFSET = 16;
export const ABORT_BYTES = 24;
export const ABORT_SOFT_FLAG = 1;
export const ABORT_CLIENT = 1;
export const ABORT_HANDLER_TIMEOUT = 2;
export const ABORT_BODY_TIMEOUT = 3;
export const ABORT_BODY_INVALID = 4;
export const ABORT_BODY_TOO_LARGE = 5;
export const ABORT_SERVER_CLOSING = 6;
export const ABORT_LOCAL = 7;

// kWireOpen
export const WIRE_OPEN_SERVER_OFFSET = 16;
export const WIRE_OPEN_BYTES = 24;

// kWireEnd
export const WIRE_END_IN_MESSAGE_FLAG = 1;

// kWireError
export const WIRE_ERROR_CODE_OFFSET = 16;
export const WIRE_ERROR_LENGTH_OFFSET = 20;
export const WIRE_ERROR_POSITION_OFFSET = 24;
export const WIRE_ERROR_BYTES = 32;
export const WIRE_ERROR_SESSION = 256;

// kWireClosed
export const WIRE_CLOSED_ERRNO_OFFSET = 16;
export const WIRE_CLOSED_BYTES = 24;

// kWireFlushed
export const WIRE_FLUSHED_POSITION_OFFSET = 16;
export const WIRE_FLUSHED_BYTES = 24;

// kWireIdle
export const WIRE_IDLE_KIND_OFFSET = 16;
export const WIRE_IDLE_BYTES = 24;
export const WIRE_IDLE_KEEP_ALIVE = 1;
export const WIRE_IDLE_INACTIVITY = 2;

// kWireTransport
export const WIRE_TRANSPORT_COMMAND_OFFSET = 16;
export const WIRE_TRANSPORT_BYTES = 24;
export const WIRE_TRANSPORT_PAUSE = 1;
export const WIRE_TRANSPORT_RESUME = 2;
export const WIRE_TRANSPORT_END = 3;
export const WIRE_TRANSPORT_DESTROY = 4;

// Submissions: JavaScript to native.
export const RESPOND = 1;
export const START = 2;
export const WRITE = 3;
export const END = 4;
export const CONSUME = 5;
export const CONTINUE = 6;
export const DESTROY = 7;

// Submissions to wire sessions: the key is the connection's.
export const WIRE_WRITE = 8;
export const WIRE_CONSUME = 9;
export const WIRE_PROCEED = 10;
export const WIRE_SHUTDOWN = 11;
export const WIRE_DESTROY = 12;
export const WIRE_READING = 13;
export const WIRE_INACTIVITY = 14;
export const WIRE_SENT = 15;
export const WIRE_TAP = 16;

// kRespond and kStart
export const HEAD_STATUS_OFFSET = 16;
export const HEAD_LENGTH_OFFSET = 20;
export const HEAD_BODY_LENGTH_OFFSET = 24;
export const HEAD_CONTENT_LOW_OFFSET = 28;
export const HEAD_CONTENT_HIGH_OFFSET = 32;
export const HEAD_BYTES = 40;
export const HEAD_CLOSE_FLAG = 1;
export const HEAD_HAS_DATE_FLAG = 2;
export const HEAD_HAS_CONNECTION_FLAG = 4;
export const HEAD_KNOWN_LENGTH_FLAG = 8;

// kWrite
export const WRITE_LENGTH_OFFSET = 16;
export const WRITE_BYTES = 24;
export const WRITE_NOTIFY_FLAG = 1;

// kWireWrite
export const WIRE_WRITE_NOTIFY_FLAG = 1;
export const WIRE_WRITE_END_FLAG = 2;
export const WIRE_WRITE_CLOSE_FLAG = 4;

// kWireProceed, kWireDestroy, kWireReading
export const WIRE_PROCEED_UPGRADE_FLAG = 1;
export const WIRE_PROCEED_BODY_FLAG = 2;
export const WIRE_DESTROY_RESET_FLAG = 1;
export const WIRE_READING_ON_FLAG = 1;
export const WIRE_READING_BY_HAND_FLAG = 2;

// kEnd
export const END_TRAILER_LENGTH_OFFSET = 16;
export const END_BYTES = 24;
export const END_NOTIFY_FLAG = 1;

// kConsume
export const CONSUME_COUNT_OFFSET = 16;
export const CONSUME_BYTES = 24;

// WebSockets.
export const WS_MESSAGE = 21;
export const WS_PING = 22;
export const WS_PONG = 23;
export const WS_PEER_CLOSE = 24;
export const WS_FAILURE = 25;
export const WS_DRAINED = 26;
export const WS_FLUSHED = 27;
export const WS_CLOSED = 28;
export const WS_ATTACHED = 29;
export const WS_BINARY_FLAG = 1;
export const WS_ASCII_FLAG = 2;
export const WS_FIRST_FLAG = 4;
export const WS_LAST_FLAG = 8;
export const WS_FAILURE_ERROR_OFFSET = 16;
export const WS_FAILURE_DETAIL_OFFSET = 20;
export const WS_FAILURE_BYTES = 24;
export const WS_PEER_CLOSE_CODE_OFFSET = 16;
export const WS_PEER_CLOSE_LENGTH_OFFSET = 20;
export const WS_PEER_CLOSE_BYTES = 24;
export const WS_ACCEPT = 17;
export const WS_ATTACH = 18;
export const WS_BEGIN = 19;
export const WS_SEND = 20;
export const WS_SEND_REST = 21;
export const WS_SEND_PING = 22;
export const WS_SEND_PONG = 23;
export const WS_CLOSE = 24;
export const WS_TERMINATE = 25;
export const WS_READING = 26;
export const WS_NOTIFY = 27;
export const WS_SUBSCRIBE = 28;
export const WS_UNSUBSCRIBE = 29;
export const WS_PUBLISH = 30;
export const WS_CONNECTION_INDEX_OFFSET = 16;
export const WS_CONNECTION_GENERATION_OFFSET = 20;
export const WS_PAYLOAD_LIMIT_OFFSET = 24;
export const WS_FRAGMENT_LIMIT_OFFSET = 28;
export const WS_BUFFER_LIMIT_OFFSET = 32;
export const WS_IDLE_TIMEOUT_OFFSET = 36;
export const WS_PING_INTERVAL_OFFSET = 40;
export const WS_CLOSE_TIMEOUT_OFFSET = 44;
export const WS_DEFLATE_OFFSET = 48;
export const WS_THRESHOLD_OFFSET = 52;
export const WS_FIELD_LENGTH_OFFSET = 56;
export const WS_ACCEPT_BYTES = 64;
export const WS_AUTO_PONG_FLAG = 1;
export const WS_UNCHECKED_FLAG = 2;
export const WS_SEND_LENGTH_OFFSET = 16;
export const WS_SEND_TOTAL_LOW_OFFSET = 20;
export const WS_SEND_TOTAL_HIGH_OFFSET = 24;
export const WS_SEND_BYTES = 32;
export const WS_SEND_BINARY_FLAG = 1;
export const WS_SEND_COMPRESS_FLAG = 2;
export const WS_SEND_MORE_FLAG = 4;
export const WS_CLOSE_CODE_OFFSET = 16;
export const WS_CLOSE_LENGTH_OFFSET = 20;
export const WS_CLOSE_BYTES = 24;
export const WS_PUBLISH_TOPIC_LENGTH_OFFSET = 16;
export const WS_PUBLISH_LENGTH_OFFSET = 20;
export const WS_PUBLISH_BYTES = 24;
export const WS_SERVER_FLAG = 8;

// Sizes that both sides must know.
export const COMPLETION_RING_BYTES = 1048576;
export const SUBMISSION_RING_BYTES = 1048576;
export const MAX_SUBMISSION_BYTES = 262144;
export const LENT_BUFFER_COUNT = 4;
export const LENT_BUFFER_BYTES = 65536;
export const BODY_WINDOW_BYTES = 262144;
/** Request methods by their number on the border: the order of `Method` in native/http/http_types.h. */
export const METHODS: readonly string[] = [
  'DELETE',
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'COPY',
  'LOCK',
  'MKCOL',
  'MOVE',
  'PROPFIND',
  'PROPPATCH',
  'SEARCH',
  'UNLOCK',
  'BIND',
  'REBIND',
  'UNBIND',
  'ACL',
  'REPORT',
  'MKACTIVITY',
  'CHECKOUT',
  'MERGE',
  'M-SEARCH',
  'NOTIFY',
  'SUBSCRIBE',
  'UNSUBSCRIBE',
  'PATCH',
  'PURGE',
  'MKCALENDAR',
  'LINK',
  'UNLINK',
  'SOURCE',
  'QUERY',
];

/** Header names by their number on the border: the order of `HeaderId` in native/http/http_types.h. */
export const HEADER_NAMES: readonly string[] = [
  '',
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'date',
  'dnt',
  'expect',
  'forwarded',
  'from',
  'host',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'max-forwards',
  'origin',
  'pragma',
  'proxy-authorization',
  'proxy-connection',
  'range',
  'referer',
  'sec-ch-ua',
  'sec-ch-ua-mobile',
  'sec-ch-ua-platform',
  'sec-fetch-dest',
  'sec-fetch-mode',
  'sec-fetch-site',
  'sec-fetch-user',
  'sec-websocket-extensions',
  'sec-websocket-key',
  'sec-websocket-protocol',
  'sec-websocket-version',
  'te',
  'trailer',
  'transfer-encoding',
  'traceparent',
  'tracestate',
  'upgrade',
  'upgrade-insecure-requests',
  'user-agent',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-request-id',
  'x-requested-with',
];
