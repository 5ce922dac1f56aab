/*
 * Native tasks of gammaloop's runner: the C ABI, version 1. For C99, C11, C++ and, written again in its terms, Rust
 * (examples/native-task has both). docs/runner.md says how JavaScript runs them.
 *
 * A shared library holds any number of tasks. It says once which version of this header it was built with, and
 * exports each task as a function:
 *
 *     #include "gammaloop_task.h"
 *
 *     GAMMALOOP_TASK_LIBRARY
 *
 *     GAMMALOOP_TASK(reverse) {
 *       uint8_t *out = gammaloop_output(task, task->input_size);
 *       if (out == NULL) return gammaloop_fail(task, ENOMEM, "no memory for the result");
 *       for (size_t i = 0; i < task->input_size; i++) out[i] = task->input[task->input_size - 1 - i];
 *       return 0;
 *     }
 *
 * Threads: a task is called on a thread of the runner's, which runs one task at a time, has 8 MiB of stack (where the
 * system grants it) and no JavaScript. The same task may be called on several threads at once. The functions of this
 * header may be called from any thread, by one at a time, between the task's call and its return.
 *
 * A task must return: nothing can end a thread from outside, and the process waits for it at its end. It must not let
 * an exception or a panic out, nor end its thread. The library stays loaded as long as the process lives.
 *
 * Compatibility: a runner of a later version 1.x calls libraries of an earlier one. New members come at the end of
 * gammaloop_task, and `struct_size` says how far it reaches. What is here changes with GAMMALOOP_TASK_ABI only, and a
 * library of another version is refused.
 */
#ifndef GAMMALOOP_TASK_H
#define GAMMALOOP_TASK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GAMMALOOP_TASK_ABI 1u

/* `deadline_ns` of a task without a deadline. */
#define GAMMALOOP_NO_DEADLINE UINT64_MAX

typedef struct gammaloop_task gammaloop_task;

/* Gives back memory that came by `give_output`. Called once, on any thread, when JavaScript has let go of it; at the
 * latest at the end of the JavaScript environment. */
typedef void (*gammaloop_release)(void* bytes, size_t size, void* hint);

/* One call of a task: what it gets, and what it may ask for. Owned by the runner; gone when the task has returned. */
struct gammaloop_task {
  /* sizeof(gammaloop_task) as the runner has it. */
  size_t struct_size;

  /* The caller's bytes, to read. They may be shared with JavaScript (a SharedArrayBuffer), which may then change them.
   * Not NULL, also where the size is 0. Of no particular alignment. */
  const uint8_t* input;
  size_t input_size;

  /* The instant at which the caller's timeout is over, by CLOCK_MONOTONIC (macOS: by std::chrono::steady_clock), in
   * nanoseconds. It is told as a cancellation too. */
  uint64_t deadline_ns;

  /* The caller's trace id: UTF-8, ends with 0. NULL where there is none. */
  const char* trace_id;

  /* 1: the caller has cancelled the task, or its timeout is over. The promise is settled by then; what the task still
   * returns is dropped. A read of memory: ask as often as you like. */
  int (*is_cancelled)(const gammaloop_task* task);

  /* Memory for the result, of `size` bytes, to be written until the task returns; not set to zero. It is the runner's,
   * and becomes JavaScript's without a copy (up to 32 KiB are copied, which is cheaper). A second call replaces the
   * first: that memory is gone then. NULL: there is none left. */
  uint8_t* (*output)(gammaloop_task* task, size_t size);

  /* Hands over memory of the task's own as the result, without a copy (as above). `release` is called once when it is
   * not needed any more, also where the task has failed or was cancelled; NULL: nobody frees it (static memory). */
  void (*give_output)(gammaloop_task* task, void* bytes, size_t size, gammaloop_release release, void* hint);

  /* Tells the caller's `onProgress` how much is done, from 0 to 1. Only the latest is kept until the caller's event
   * loop looks. */
  void (*progress)(gammaloop_task* task, double done);

  /* The text of the error, UTF-8, copied; for the caller where the task then returns a code other than 0. */
  void (*error_message)(gammaloop_task* task, const char* text, size_t size);

  /* The runner's own. */
  void* runner;
};

/* A task. 0: done, and the result is what `output` or `give_output` has set, else no bytes. Any other value is the
 * task's own error code: the promise rejects with ERR_GAMMALOOP_NATIVE_TASK, which has it as `taskCode`. */
typedef int32_t (*gammaloop_task_function)(gammaloop_task* task);

/* What a library exports as `gammaloop_task_abi`: returns the GAMMALOOP_TASK_ABI that it was built with. */
typedef uint32_t (*gammaloop_task_abi_function)(void);

#define GAMMALOOP_TASK_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
#define GAMMALOOP_TASK_EXTERN extern "C" GAMMALOOP_TASK_EXPORT
#else
#define GAMMALOOP_TASK_EXTERN GAMMALOOP_TASK_EXPORT
#endif

/* Once in each library. */
#define GAMMALOOP_TASK_LIBRARY                             \
  GAMMALOOP_TASK_EXTERN uint32_t gammaloop_task_abi(void); \
  GAMMALOOP_TASK_EXTERN uint32_t gammaloop_task_abi(void) { return GAMMALOOP_TASK_ABI; }

/* The head of a task that is exported by this name. */
#define GAMMALOOP_TASK(name)                                \
  GAMMALOOP_TASK_EXTERN int32_t name(gammaloop_task* task); \
  GAMMALOOP_TASK_EXTERN int32_t name(gammaloop_task* task)

/* Shorthands. */

static inline int gammaloop_is_cancelled(const gammaloop_task* task) { return task->is_cancelled(task); }

static inline uint8_t* gammaloop_output(gammaloop_task* task, size_t size) { return task->output(task, size); }

static inline void gammaloop_give_output(gammaloop_task* task, void* bytes, size_t size, gammaloop_release release,
                                         void* hint) {
  task->give_output(task, bytes, size, release, hint);
}

static inline void gammaloop_progress(gammaloop_task* task, double done) { task->progress(task, done); }

/* `return gammaloop_fail(task, code, "text");` */
static inline int32_t gammaloop_fail(gammaloop_task* task, int32_t code, const char* text) {
  size_t size = 0;
  while (text[size] != 0) size++;
  task->error_message(task, text, size);
  return code;
}

#ifdef __cplusplus
}
#endif

#endif /* GAMMALOOP_TASK_H */
