/* A native task in C: the CRC-32 of its input (IEEE 802.3, as zlib's crc32), as four bytes, the most significant first. */
#include "gammaloop_task.h"

GAMMALOOP_TASK_LIBRARY

#define POLYNOMIAL 0xedb88320u
#define PART_BYTES (1024u * 1024u)

/* Eight bytes a step: table[k][byte] is what the byte does k bytes further on. Computed by the compiler's constructor, once. */
static uint32_t table[8][256];

__attribute__((constructor)) static void fill_table(void) {
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? crc >> 1 ^ POLYNOMIAL : crc >> 1;
    table[0][byte] = crc;
  }
  for (uint32_t byte = 0; byte < 256; byte++) {
    for (int k = 1; k < 8; k++) table[k][byte] = table[k - 1][byte] >> 8 ^ table[0][table[k - 1][byte] & 255];
  }
}

static uint32_t update(uint32_t crc, const uint8_t* bytes, size_t size) {
  for (; size >= 8; bytes += 8, size -= 8) {
    const uint32_t low = crc ^ (bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
    crc = table[7][low & 255] ^ table[6][low >> 8 & 255] ^ table[5][low >> 16 & 255] ^ table[4][low >> 24] ^
          table[3][bytes[4]] ^ table[2][bytes[5]] ^ table[1][bytes[6]] ^ table[0][bytes[7]];
  }
  while (size-- > 0) crc = crc >> 8 ^ table[0][(crc ^ *bytes++) & 255];
  return crc;
}

GAMMALOOP_TASK(crc32) {
  uint32_t crc = 0xffffffffu;
  for (size_t at = 0; at < task->input_size; at += PART_BYTES) {
    if (gammaloop_is_cancelled(task)) return 0; /* nobody waits any more */
    const size_t left = task->input_size - at;
    crc = update(crc, task->input + at, left < PART_BYTES ? left : PART_BYTES);
    if (left > PART_BYTES) gammaloop_progress(task, (double)(at + PART_BYTES) / (double)task->input_size);
  }
  crc ^= 0xffffffffu;
  uint8_t* out = gammaloop_output(task, 4);
  if (out == NULL) return gammaloop_fail(task, 1, "no memory for the result");
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(crc >> (24 - 8 * i));
  return 0;
}
