/* The native tasks of the tests. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "gammaloop_task.h"

GAMMALOOP_TASK_LIBRARY

static int32_t put(gammaloop_task* task, const void* bytes, size_t size) {
  uint8_t* out = gammaloop_output(task, size);
  if (out == NULL) return gammaloop_fail(task, ENOMEM, "no memory for the result");
  memcpy(out, bytes, size);
  return 0;
}

static int32_t put_text(gammaloop_task* task, const char* text) { return put(task, text, strlen(text)); }

GAMMALOOP_TASK(echo) { return put(task, task->input, task->input_size); }

/* Of its thread. */
GAMMALOOP_TASK(priority) {
  char text[16];
  snprintf(text, sizeof(text), "%d", getpriority(PRIO_PROCESS, 0));
  return put_text(task, text);
}

GAMMALOOP_TASK(nothing) {
  (void)task;
  return 0;
}

/* Memory of its own, handed over. */
static atomic_int given;
static void take_back(void* bytes, size_t size, void* hint) {
  (void)size;
  atomic_fetch_sub((atomic_int*)hint, 1);
  free(bytes);
}
GAMMALOOP_TASK(give) {
  uint8_t* copy = malloc(task->input_size + 1);
  memcpy(copy, task->input, task->input_size);
  atomic_fetch_add(&given, 1);
  gammaloop_give_output(task, copy, task->input_size, take_back, &given);
  return 0;
}
/* Replaces what it had set, twice, then fails. */
GAMMALOOP_TASK(give_and_fail) {
  gammaloop_output(task, 100000);
  atomic_fetch_add(&given, 2);
  gammaloop_give_output(task, malloc(10), 10, take_back, &given);
  gammaloop_give_output(task, malloc(100000), 100000, take_back, &given);
  return gammaloop_fail(task, 7, "failed after giving");
}
GAMMALOOP_TASK(given_now) {
  char text[32];
  snprintf(text, sizeof(text), "%d", atomic_load(&given));
  return put_text(task, text);
}

/* Input: the code, as text; then the message. */
GAMMALOOP_TASK(fail) {
  char text[16];
  size_t size = 0;
  while (size < task->input_size && size < 15 && task->input[size] != ' ') {
    text[size] = (char)task->input[size];
    size++;
  }
  text[size] = 0;
  if (size < task->input_size)
    task->error_message(task, (const char*)task->input + size + 1, task->input_size - size - 1);
  return (int32_t)strtol(text, NULL, 10);
}

/* The first two bytes of a shared input are flags: it runs; it may go on. */
static int at_gate(gammaloop_task* task) {
  _Atomic uint8_t* flags = (_Atomic uint8_t*)task->input;
  atomic_store(&flags[0], 1);
  while (atomic_load(&flags[1]) == 0) {
    if (gammaloop_is_cancelled(task)) {
      atomic_store(&flags[0], 2);
      return 0;
    }
  }
  return 1;
}
GAMMALOOP_TASK(pause_at) { return put_text(task, at_gate(task) ? "opened" : "cancelled"); }
/* Does not ask whether it is cancelled. */
GAMMALOOP_TASK(block_at) {
  _Atomic uint8_t* flags = (_Atomic uint8_t*)task->input;
  atomic_store(&flags[0], 1);
  while (atomic_load(&flags[1]) == 0) {
  }
  return put_text(task, "unblocked");
}
GAMMALOOP_TASK(until_cancelled) {
  while (!gammaloop_is_cancelled(task)) {
  }
  return put_text(task, "cancelled");
}

/* Tells a half, and the other half when it is let go. */
GAMMALOOP_TASK(halves) {
  gammaloop_progress(task, -1);
  gammaloop_progress(task, 0.5);
  if (task->input_size < 2) return 0;
  at_gate(task);
  gammaloop_progress(task, 5);
  return 0;
}

GAMMALOOP_TASK(context) {
  char text[600];
  const int has_deadline = task->deadline_ns != GAMMALOOP_NO_DEADLINE;
  snprintf(text, sizeof(text), "%s %s %zu %llu", task->trace_id == NULL ? "-" : task->trace_id,
           has_deadline ? "deadline" : "none", task->input_size,
           has_deadline ? (unsigned long long)(task->deadline_ns / 1000000u) : 0ull);
  return put_text(task, text);
}

GAMMALOOP_TASK(segfault) {
  (void)task;
  volatile int* nowhere = NULL;
  *nowhere = 1;
  return 0;
}
GAMMALOOP_TASK(abort_now) {
  (void)task;
  abort();
}
GAMMALOOP_TASK(exit_now) {
  (void)task;
  _Exit(9);
}
