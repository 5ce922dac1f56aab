// Tasks of a module and of the program itself, in worker threads, and a native one. Prints what came back as JSON.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Runner } from 'gammaloop/runner';

const folder = mkdtempSync(join(tmpdir(), 'gammaloop-native-'));

/** Built against the header of the package. */
function nativeLibrary() {
  const include = dirname(createRequire(import.meta.url).resolve('gammaloop/gammaloop_task.h'));
  writeFileSync(
    join(folder, 'task.c'),
    `#include <string.h>
    #include "gammaloop_task.h"
    GAMMALOOP_TASK_LIBRARY
    GAMMALOOP_TASK(repeat) {
      uint8_t *out = gammaloop_output(task, task->input_size);
      memcpy(out, task->input, task->input_size);
      return 0;
    }`,
  );
  const library = join(folder, 'task.so');
  execFileSync('cc', ['-fPIC', '-shared', `-I${include}`, join(folder, 'task.c'), '-o', library]);
  return library;
}

const runner = new Runner({
  module: `data:text/javascript,
    export const add = (a, b) => a + b;
    export function spin() { for (;;); }`,
  threads: 2,
  graceMs: 10,
});
const sums = await Promise.all(Array.from({ length: 1000 }, (_, i) => runner.run('add', [i, 1])));
const called = await runner.call(async (text) => text.toUpperCase(), ['called']);
const late = await runner.run('spin', [], { timeout: 50 }).catch((error) => error.code);
const native = Buffer.from(await runner.native(nativeLibrary(), 'repeat', Buffer.from('a native task'))).toString();
await runner.close();
rmSync(folder, { recursive: true });
console.log(JSON.stringify({ sums: sums.every((sum, i) => sum === i + 1), called, late, native }));
