// The border, defined once: what native code tells JavaScript (completions) and what it is told (submissions).
// lib/bridge/records.ts is the mirror; test/architecture/records.test.ts fails when the two differ.
//
// A record starts on a multiple of kRecordAlign and is never split over the end of the ring (a Pad record fills the
// rest). Words are 32 bit in the machine's order; offsets below are in bytes from the start of the record.
#pragma once

#include <cstdint>

namespace gammaloop::records {

inline constexpr uint32_t kRecordAlign = 8;

// Ring control block (an array of 32-bit words, shared): positions count bytes ever written or read, modulo 2^32.
inline constexpr uint32_t kHeadWord = 0;  // consumer: read up to here
inline constexpr uint32_t kTailWord = 1;  // producer: written up to here
inline constexpr uint32_t kControlWords = 2;

// Every record.
inline constexpr uint32_t kSizeOffset = 0;           // u32: bytes of the record, a multiple of kRecordAlign
inline constexpr uint32_t kOpcodeOffset = 4;         // u32: opcode in the low 16 bits, flags in the high 16
inline constexpr uint32_t kExchangeIndexOffset = 8;  // u32: slab index of the exchange (a request and its response)
inline constexpr uint32_t kExchangeGenerationOffset = 12;  // u32
inline constexpr uint32_t kHeaderBytes = 16;

// Completions: native to JavaScript.
inline constexpr uint32_t kPad = 0;       // skip `size` bytes (both directions)
inline constexpr uint32_t kRequest = 1;   // a request head, with the whole body where it arrived together
inline constexpr uint32_t kBody = 2;      // a piece of a streamed body
inline constexpr uint32_t kBodyEnd = 3;   // the end of a streamed body, and its trailers
inline constexpr uint32_t kAbort = 4;     // the exchange is over: client gone, timeout, refused body, server closing
inline constexpr uint32_t kWritable = 5;  // what was written has left; writing may go on
inline constexpr uint32_t kServerClosed = 6;  // the last connection of a closed server is gone

// Completions of wire sessions (http/wire_session.h), where the application frames its own responses: the key of the
// record is the connection's. Layouts are those named in brackets where they are not given below.
inline constexpr uint32_t kWireOpen = 7;     // a connection was accepted
inline constexpr uint32_t kWireRequest = 8;  // a request head, with the whole body where it arrived together [kRequest]
inline constexpr uint32_t kWireBody = 9;     // a piece of the body of the latest request [kBody]
inline constexpr uint32_t kWireBodyEnd = 10;    // its end, and its trailers [kBodyEnd]
inline constexpr uint32_t kWireData = 11;       // bytes of a connection that was upgraded, or tapped [kBody]
inline constexpr uint32_t kWireEnd = 12;        // the peer has sent FIN; header only
inline constexpr uint32_t kWireError = 13;      // bytes were refused, or came too late; nothing more is read
inline constexpr uint32_t kWireClosed = 14;     // the connection is gone: the last record of its key
inline constexpr uint32_t kWireFlushed = 15;    // what was written with kWireWriteNotifyFlag has left
inline constexpr uint32_t kWireIdle = 16;       // keep-alive or inactivity timeout; nothing was done about it
inline constexpr uint32_t kWireOutput = 17;     // fed connections: bytes for the transport [kBody]
inline constexpr uint32_t kWireTransport = 18;  // fed connections: a command for the transport
inline constexpr uint32_t kWireConnected = 19;  // a connection that was asked for is there; header only
inline constexpr uint32_t kWireReadable =
    20;  // there is something to receive, which the application does by itself; header only

// Completions of WebSockets (ws/ws_session.h): the key is the connection's.
inline constexpr uint32_t kWsMessage = 21;    // a message, or a piece of one [kBody]
inline constexpr uint32_t kWsPing = 22;       // [kBody]
inline constexpr uint32_t kWsPong = 23;       // [kBody]
inline constexpr uint32_t kWsPeerClose = 24;  // the peer's close frame
inline constexpr uint32_t kWsFailure = 25;    // the connection is being failed
inline constexpr uint32_t kWsDrained = 26;    // what was to be sent has fallen to the low watermark; header only
inline constexpr uint32_t kWsFlushed = 27;    // up to the notification of that number, all has left [kWireClosed]
inline constexpr uint32_t kWsClosed = 28;     // the connection is gone, or ends: the last record [kWireClosed]
inline constexpr uint32_t kWsAttached =
    29;  // a wire session gave way: of it come only kWireClosed after this, and kWireData where tapped; header only

// kRequest
inline constexpr uint32_t kRequestServerOffset = 16;                // u32: server index
inline constexpr uint32_t kRequestMethodOffset = 20;                // u32: index into METHODS
inline constexpr uint32_t kRequestVersionMinorOffset = 24;          // u32: 0 or 1
inline constexpr uint32_t kRequestHeaderCountOffset = 28;           // u32
inline constexpr uint32_t kRequestTargetLengthOffset = 32;          // u32
inline constexpr uint32_t kRequestTextLengthOffset = 36;            // u32: head text (see http/head_codec.h)
inline constexpr uint32_t kRequestBodyLengthOffset = 40;            // u32: bytes of the body in this record
inline constexpr uint32_t kRequestConnectionIndexOffset = 44;       // u32
inline constexpr uint32_t kRequestConnectionGenerationOffset = 48;  // u32
inline constexpr uint32_t kRequestBytes = 56;                       // then the head text, then the body
inline constexpr uint32_t kRequestHasBodyFlag = 1;                  // a body exists (in this record, or following)
inline constexpr uint32_t kRequestBodyCompleteFlag = 2;             // all of it is in this record
inline constexpr uint32_t kRequestKeepAliveFlag = 4;
inline constexpr uint32_t kRequestExpectContinueFlag = 8;
inline constexpr uint32_t kRequestUpgradeFlag = 16;      // wire sessions: reading waits for kWireProceed
inline constexpr uint32_t kRequestExpectOtherFlag = 32;  // wire sessions: an Expect other than 100-continue

// kBody
inline constexpr uint32_t kBodyLengthOffset = 16;     // u32
inline constexpr uint32_t kBodyBytes = 24;            // then the bytes
inline constexpr uint32_t kBodyLentFlag = 1;          // they stand in a buffer that was lent (ring/lent_buffers.h)
inline constexpr uint32_t kBodyLentLastFlag = 2;      // with it: nothing more will come in that buffer
inline constexpr uint32_t kBodyLentSlotOffset = 20;   // u32
inline constexpr uint32_t kBodyLentStartOffset = 24;  // u32: offset in the buffer
inline constexpr uint32_t kBodyLentBytes = 32;        // of such a record

// kBodyEnd
inline constexpr uint32_t kBodyEndHeaderCountOffset = 16;  // u32: trailers
inline constexpr uint32_t kBodyEndTextLengthOffset = 20;   // u32
inline constexpr uint32_t kBodyEndBytes = 24;              // then the text

// kAbort
inline constexpr uint32_t kAbortReasonOffset = 16;  // u32: AbortReason
inline constexpr uint32_t kAbortBytes = 24;
inline constexpr uint32_t kAbortSoftFlag =
    1;  // the peer will send nothing more (FIN), yet may still read: a response is still sent
inline constexpr uint32_t kAbortClient = 1;          // the peer closed or reset the connection
inline constexpr uint32_t kAbortHandlerTimeout = 2;  // timeouts.handler passed; 503 was sent if no response had begun
inline constexpr uint32_t kAbortBodyTimeout = 3;     // the body came too late or too slowly; 408 likewise
inline constexpr uint32_t kAbortBodyInvalid = 4;     // malformed transfer coding; 400 likewise
inline constexpr uint32_t kAbortBodyTooLarge = 5;    // limits.bodyBytes; 413 likewise
inline constexpr uint32_t kAbortServerClosing = 6;   // cut by close({ deadline })
inline constexpr uint32_t kAbortLocal = 7;  // destroyed by the application, or its response broke its own framing

// kWritable: header only.

// kWireOpen
inline constexpr uint32_t kWireOpenServerOffset = 16;  // u32: server index
inline constexpr uint32_t kWireOpenBytes = 24;

// kWireEnd
inline constexpr uint32_t kWireEndInMessageFlag = 1;  // in the middle of a request

// kWireError
inline constexpr uint32_t kWireErrorCodeOffset = 16;      // u32: HttpError, or kWireErrorSession + SessionError
inline constexpr uint32_t kWireErrorLengthOffset = 20;    // u32: bytes that were being read
inline constexpr uint32_t kWireErrorPositionOffset = 24;  // u32: how many of them were understood
inline constexpr uint32_t kWireErrorBytes = 32;           // then the bytes
inline constexpr uint32_t kWireErrorSession = 256;

// kWireClosed
inline constexpr uint32_t kWireClosedErrnoOffset = 16;  // u32: 0: in order, or destroyed from here; else errno
inline constexpr uint32_t kWireClosedBytes = 24;

// kWireFlushed
inline constexpr uint32_t kWireFlushedPositionOffset = 16;  // u32: bytes handed to the system so far, modulo 2^32
inline constexpr uint32_t kWireFlushedBytes = 24;

// kWireIdle
inline constexpr uint32_t kWireIdleKindOffset = 16;  // u32
inline constexpr uint32_t kWireIdleBytes = 24;
inline constexpr uint32_t kWireIdleKeepAlive = 1;   // no request within the server's keep-alive timeout
inline constexpr uint32_t kWireIdleInactivity = 2;  // no byte in or out within the time set with kWireInactivity

// kWireTransport
inline constexpr uint32_t kWireTransportCommandOffset = 16;  // u32
inline constexpr uint32_t kWireTransportBytes = 24;
inline constexpr uint32_t kWireTransportPause = 1;    // feed nothing more
inline constexpr uint32_t kWireTransportResume = 2;   // feed again
inline constexpr uint32_t kWireTransportEnd = 3;      // end the sending side, after the output
inline constexpr uint32_t kWireTransportDestroy = 4;  // destroy it
// kServerClosed: kExchangeIndex holds the server index; header only.

// kWsMessage
inline constexpr uint32_t kWsBinaryFlag = 1;
inline constexpr uint32_t kWsAsciiFlag = 2;  // it is known to be
inline constexpr uint32_t kWsFirstFlag = 4;
inline constexpr uint32_t kWsLastFlag = 8;

// kWsFailure
inline constexpr uint32_t kWsFailureErrorOffset = 16;   // u32: WsError
inline constexpr uint32_t kWsFailureDetailOffset = 20;  // u32: the opcode, length or close code that was wrong, or 0
inline constexpr uint32_t kWsFailureBytes = 24;

// kWsPeerClose
inline constexpr uint32_t kWsPeerCloseCodeOffset = 16;    // u32
inline constexpr uint32_t kWsPeerCloseLengthOffset = 20;  // u32: bytes of the reason
inline constexpr uint32_t kWsPeerCloseBytes = 24;         // then the reason

// Submissions: JavaScript to native.
inline constexpr uint32_t kRespond = 1;   // a whole response
inline constexpr uint32_t kStart = 2;     // the head of a streamed response
inline constexpr uint32_t kWrite = 3;     // a piece of its body
inline constexpr uint32_t kEnd = 4;       // its end, with trailers
inline constexpr uint32_t kConsume = 5;   // body bytes that the application has taken: the window opens by as many
inline constexpr uint32_t kContinue = 6;  // the application wants the body: send 100 Continue if it was asked for
inline constexpr uint32_t kDestroy = 7;   // close the connection at once

// Submissions to wire sessions: the key is the connection's.
inline constexpr uint32_t kWireWrite = 8;      // bytes as they are [kWrite]
inline constexpr uint32_t kWireConsume = 9;    // body or data bytes that the application has taken [kConsume]
inline constexpr uint32_t kWireProceed = 10;   // after a request with kRequestUpgradeFlag; header only
inline constexpr uint32_t kWireShutdown = 11;  // FIN after what was written; header only
inline constexpr uint32_t kWireDestroy = 12;   // close at once; header only
inline constexpr uint32_t kWireReading = 13;   // stop reading, or go on; header only
inline constexpr uint32_t kWireInactivity =
    14;                                    // the connection's inactivity timeout [kConsume: milliseconds, 0: none]
inline constexpr uint32_t kWireSent = 15;  // fed connections: bytes of output that the transport has sent [kConsume]
inline constexpr uint32_t kWireTap =
    16;  // from now on each read is also told as kWireData, before it is parsed (WebSockets too)

// Submissions to WebSockets: the key is the connection's, where nothing else is said.
inline constexpr uint32_t kWsAccept = 17;  // the key is the exchange's: 101, and a WebSocket from here on
inline constexpr uint32_t kWsAttach =
    18;  // a wire session after its upgrade becomes one; not read from before kWsBegin
inline constexpr uint32_t kWsBegin =
    19;  // after kWsAttached: what was read behind the handshake [kWrite]; kWsSendMoreFlag: the next has more of it
inline constexpr uint32_t kWsSend = 20;         // a message, or its beginning
inline constexpr uint32_t kWsSendRest = 21;     // the next bytes of it [kWrite]
inline constexpr uint32_t kWsSendPing = 22;     // [kWrite]
inline constexpr uint32_t kWsSendPong = 23;     // [kWrite]
inline constexpr uint32_t kWsClose = 24;        // the close handshake begins
inline constexpr uint32_t kWsTerminate = 25;    // header only
inline constexpr uint32_t kWsReading = 26;      // [kWireReading]
inline constexpr uint32_t kWsNotify = 27;       // 0: tell with kWsDrained; else with kWsFlushed [kConsume: its number]
inline constexpr uint32_t kWsSubscribe = 28;    // [kWrite: the topic]
inline constexpr uint32_t kWsUnsubscribe = 29;  // [kWrite: the topic]
inline constexpr uint32_t kWsPublish = 30;      // to all others; with kWsServerFlag the key's index is the server's

// kRespond and kStart
inline constexpr uint32_t kHeadStatusOffset =
    16;  // u32: status in the low 16 bits, reason length in the high 16 (0: standard)
inline constexpr uint32_t kHeadLengthOffset = 20;      // u32: bytes of the header block ("name: value\r\n"...)
inline constexpr uint32_t kHeadBodyLengthOffset = 24;  // u32: kRespond: bytes of the body; kStart: unused
inline constexpr uint32_t kHeadContentLowOffset =
    28;  // u32: kStart with kHeadKnownLengthFlag: content length, low word
inline constexpr uint32_t kHeadContentHighOffset = 32;  // u32: high word
inline constexpr uint32_t kHeadBytes = 40;              // then reason, header block, body
inline constexpr uint32_t kHeadCloseFlag = 1;           // the header block says `connection: close`
inline constexpr uint32_t kHeadHasDateFlag = 2;         // the header block has a date field: add none
inline constexpr uint32_t kHeadHasConnectionFlag = 4;   // the header block has a connection field: add none
inline constexpr uint32_t kHeadKnownLengthFlag = 8;     // kStart: the content length is given

// kWrite
inline constexpr uint32_t kWriteLengthOffset = 16;  // u32
inline constexpr uint32_t kWriteBytes = 24;         // then the bytes
inline constexpr uint32_t kWriteNotifyFlag = 1;     // answer with kWritable once the connection's queue is low again

// kWireWrite
inline constexpr uint32_t kWireWriteNotifyFlag = 1;  // answer with kWireFlushed once they have left
inline constexpr uint32_t kWireWriteEndFlag = 2;     // they end the response to the earliest request that has none yet
inline constexpr uint32_t kWireWriteCloseFlag = 4;   // close the connection once they have left

// kWireProceed, kWireDestroy, kWireReading
inline constexpr uint32_t kWireProceedUpgradeFlag = 1;  // what follows the head is kWireData
inline constexpr uint32_t kWireProceedBodyFlag = 2;     // with it: what follows the body is
inline constexpr uint32_t kWireDestroyResetFlag = 1;    // with RST
inline constexpr uint32_t kWireReadingOnFlag = 1;       // go on
inline constexpr uint32_t kWireReadingByHandFlag =
    2;  // the application receives by itself: kWireReadable tells it when

// kWsAccept, kWsAttach
inline constexpr uint32_t kWsConnectionIndexOffset = 16;       // u32: kWsAccept: the connection's key
inline constexpr uint32_t kWsConnectionGenerationOffset = 20;  // u32
inline constexpr uint32_t kWsPayloadLimitOffset = 24;          // u32, as the next five
inline constexpr uint32_t kWsFragmentLimitOffset = 28;
inline constexpr uint32_t kWsBufferLimitOffset = 32;
inline constexpr uint32_t kWsIdleTimeoutOffset = 36;
inline constexpr uint32_t kWsPingIntervalOffset = 40;
inline constexpr uint32_t kWsCloseTimeoutOffset = 44;
// u32: 0: no permessage-deflate; else, from the lowest bit, four bits each: server's window bits, client's, level + 1,
// memLevel; then a bit each: the server's context is taken over from message to message, the client's is
inline constexpr uint32_t kWsDeflateOffset = 48;
inline constexpr uint32_t kWsThresholdOffset = 52;    // u32: messages of fewer bytes are not compressed
inline constexpr uint32_t kWsFieldLengthOffset = 56;  // u32: kWsAccept: bytes of the header block
inline constexpr uint32_t kWsAcceptBytes = 64;        // then the block
inline constexpr uint32_t kWsAutoPongFlag = 1;
inline constexpr uint32_t kWsUncheckedFlag = 2;  // text is not checked

// kWsSend
inline constexpr uint32_t kWsSendLengthOffset = 16;    // u32: bytes in this record
inline constexpr uint32_t kWsSendTotalLowOffset = 20;  // u32: bytes of the frame: the rest follows by kWsSendRest
inline constexpr uint32_t kWsSendTotalHighOffset = 24;
inline constexpr uint32_t kWsSendBytes = 32;  // then the bytes
inline constexpr uint32_t kWsSendBinaryFlag = 1;
inline constexpr uint32_t kWsSendCompressFlag = 2;
inline constexpr uint32_t kWsSendMoreFlag = 4;  // no FIN: the message goes on with the next send

// kWsClose
inline constexpr uint32_t kWsCloseCodeOffset = 16;    // u32; 1005: none
inline constexpr uint32_t kWsCloseLengthOffset = 20;  // u32: bytes of the reason
inline constexpr uint32_t kWsCloseBytes = 24;         // then the reason

// kWsPublish; flags of kWsSend, and
inline constexpr uint32_t kWsPublishTopicLengthOffset = 16;  // u32
inline constexpr uint32_t kWsPublishLengthOffset = 20;       // u32
inline constexpr uint32_t kWsPublishBytes = 24;              // then the topic, then the bytes
inline constexpr uint32_t kWsServerFlag = 8;
// With kWsSendMoreFlag the message goes on in the next record of the kind.

// kEnd
inline constexpr uint32_t kEndTrailerLengthOffset = 16;  // u32: bytes of the trailer block
inline constexpr uint32_t kEndBytes = 24;                // then the block
inline constexpr uint32_t kEndNotifyFlag = 1;            // answer with kWritable once the response has left

// kConsume
inline constexpr uint32_t kConsumeCountOffset = 16;  // u32
inline constexpr uint32_t kConsumeBytes = 24;

// Sizes that both sides must know.
inline constexpr uint32_t kCompletionRingBytes = 1048576;
inline constexpr uint32_t kSubmissionRingBytes = 1048576;
inline constexpr uint32_t kMaxSubmissionBytes = 262144;  // a larger body travels as kStart, kWrite ..., kEnd
inline constexpr uint32_t kLentBufferCount = 4;
inline constexpr uint32_t kLentBufferBytes = 65536;
inline constexpr uint32_t kBodyWindowBytes = 262144;  // body bytes on their way to the application before reading stops

}  // namespace gammaloop::records
