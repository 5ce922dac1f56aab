// The task's side of gates.ts.
import { existsSync, readdirSync, renameSync, watch, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const isShared = (gate) => gate instanceof Int32Array;
export const isGate = (value) => isShared(value) || typeof value?.gate === 'string';

let files = 0;
function put({ gate }, name, text = '') {
  const temporary = join(gate, `.${process.pid}-${files++}`);
  writeFileSync(temporary, text);
  renameSync(temporary, join(gate, name));
}

export function arrive(gate) {
  if (!isShared(gate)) return put(gate, 'arrived');
  Atomics.store(gate, 0, 1);
  Atomics.notify(gate, 0);
}

/** Blocks until it opens. */
export function awaitOpen(gate) {
  if (isShared(gate)) return Atomics.wait(gate, 1, 0);
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(join(gate.gate, 'open'))) Atomics.wait(nobody, 0, 0, 1);
}

/** The same, without holding the thread. */
export async function opened(gate) {
  if (isShared(gate)) return Atomics.waitAsync(gate, 1, 0).value;
  const isOpen = () => existsSync(join(gate.gate, 'open'));
  await new Promise((resolve) => {
    const watcher = watch(gate.gate, () => isOpen() && done());
    const done = () => {
      watcher.close();
      resolve();
    };
    if (isOpen()) done();
  });
}

/** Says how it ended. */
export function leave(gate, how) {
  if (!isShared(gate)) return put(gate, 'left', `${how}`);
  Atomics.store(gate, 1, how);
  Atomics.notify(gate, 1);
}

/** One more; how many there were before. */
export function count(gate) {
  if (!isShared(gate)) {
    const before = readdirSync(gate.gate).filter((name) => name.startsWith('count-')).length;
    put(gate, `count-${process.pid}-${files++}`);
    return before;
  }
  const before = Atomics.add(gate, 0, 1);
  Atomics.notify(gate, 0);
  return before;
}
