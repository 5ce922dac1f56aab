/*
 * The WebSocket half of client.h: the handshake, blocking, and the one frame that a load client sends again and again,
 * masked as a client's frames are (RFC 6455 5.3).
 */
#include "client.h"

enum { kFinText = 0x81, kFinBinary = 0x82, kRsv1 = 0x40, kAnswerRoom = 1 << 20 };

/* Any offer of permessage-deflate without context takeover: then equal messages are equal frames, both ways. */
static const char kDeflateOffer[] =
    "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n";

/* 0 where the answer is not 101, or has no agreement on permessage-deflate where it was offered. */
static inline int upgrade(int fd, const char* path, int deflate) {
  char text[4096];
  int size = snprintf(text, sizeof text,
                      "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                      path, deflate ? kDeflateOffer : "");
  if (send(fd, text, (size_t)size, MSG_NOSIGNAL) != size) return 0;
  /* A byte at a time: what follows the head is a frame. */
  size_t have = 0;
  while (have < 4 || memcmp(text + have - 4, "\r\n\r\n", 4) != 0) {
    if (have == sizeof text - 1 || recv(fd, text + have, 1, 0) != 1) return 0;
    have++;
  }
  text[have] = 0;
  return strncmp(text, "HTTP/1.1 101", 12) == 0 && (!deflate || strcasestr(text, "permessage-deflate") != NULL);
}

typedef struct {
  unsigned char* bytes;
  size_t size;
} Bytes;

static inline Bytes maskedFrame(int first, Bytes payload) {
  static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  Bytes frame = {malloc(payload.size + 14), 0};
  if (frame.bytes == NULL) die("malloc");
  frame.bytes[frame.size++] = (unsigned char)first;
  if (payload.size < 126) {
    frame.bytes[frame.size++] = (unsigned char)(0x80 | payload.size);
  } else {
    frame.bytes[frame.size++] = 0x80 | 126;
    frame.bytes[frame.size++] = (unsigned char)(payload.size >> 8);
    frame.bytes[frame.size++] = (unsigned char)payload.size;
  }
  memcpy(frame.bytes + frame.size, mask, 4);
  frame.size += 4;
  for (size_t i = 0; i < payload.size; i++) frame.bytes[frame.size++] = payload.bytes[i] ^ mask[i % 4];
  return frame;
}

static inline int receiveExactly(int fd, unsigned char* into, size_t size) {
  return size == 0 || recv(fd, into, size, MSG_WAITALL) == (ssize_t)size;
}

/* One whole frame of a server, head and all; of 64 KiB at most. Size 0 where none came. */
static inline Bytes receiveFrame(int fd) {
  static unsigned char frame[kAnswerRoom];
  Bytes none = {frame, 0};
  if (!receiveExactly(fd, frame, 2)) return none;
  size_t head = 2, length = frame[1] & 0x7f;
  if (length == 127) return none;
  if (length == 126) {
    if (!receiveExactly(fd, frame + head, 2)) return none;
    length = (size_t)frame[2] << 8 | frame[3];
    head = 4;
  }
  if (!receiveExactly(fd, frame + head, length)) return none;
  return (Bytes){frame, head + length};
}
