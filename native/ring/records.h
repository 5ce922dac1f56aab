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
inline constexpr uint32_t kRequestUpgradeFlag = 16;

// kBody
inline constexpr uint32_t kBodyLengthOffset = 16;  // u32
inline constexpr uint32_t kBodyBytes = 24;         // then the bytes

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
// kServerClosed: kExchangeIndex holds the server index; header only.

// Submissions: JavaScript to native.
inline constexpr uint32_t kRespond = 1;   // a whole response
inline constexpr uint32_t kStart = 2;     // the head of a streamed response
inline constexpr uint32_t kWrite = 3;     // a piece of its body
inline constexpr uint32_t kEnd = 4;       // its end, with trailers
inline constexpr uint32_t kConsume = 5;   // body bytes that the application has taken: the window opens by as many
inline constexpr uint32_t kContinue = 6;  // the application wants the body: send 100 Continue if it was asked for
inline constexpr uint32_t kDestroy = 7;   // close the connection at once

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
inline constexpr uint32_t kBodyWindowBytes = 262144;  // body bytes on their way to the application before reading stops

}  // namespace gammaloop::records
