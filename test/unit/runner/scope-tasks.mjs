// Tasks that wait by gammaloop/scope.
import { workerData } from 'node:worker_threads';

const { taskContext } = await import(workerData.library);
const scopes = await import(new URL('../scope/index.js', workerData.library).href);
const { CancelScope, checkpoint, currentDeadline, currentScope, moveOnAfter, openNursery, shield, sleep } = scopes;
const { currentTraceparent } = await import(new URL('../scope/traced-scope.js', workerData.library).href);

function tell(words, index, value) {
  Atomics.store(words, index, value);
  Atomics.notify(words, index);
}

export function seen() {
  const { scope, deadline, traceId, traceparent } = taskContext();
  return {
    isCurrent: currentScope() === scope,
    left: currentDeadline() - performance.now(),
    deadline: deadline - performance.now(),
    cancelled: scope.cancelled,
    traceId,
    traceparents: [traceparent, currentTraceparent()],
  };
}
export async function seenLater() {
  await sleep(1);
  return seen();
}

/** Waits in scopes of its own, at some depth, until it is cancelled; says 1 if all was as it should be. */
export async function wait(words) {
  const inner = new CancelScope();
  const steps = [];
  try {
    await inner.run(() =>
      openNursery((nursery) => {
        nursery.startSoon(() => sleep(3_600_000));
        nursery.startSoon(async () => {
          tell(words, 0, 1);
          await sleep(3_600_000);
        });
      }),
    );
  } catch (error) {
    steps.push(error.code, currentScope().cancelled, inner.cancelled, inner.cancelledCaught);
    // A state, not an event; a shield keeps it out.
    await checkpoint().catch((again) => steps.push(again === error));
    await shield(() => sleep(1));
    steps.push(taskContext().signal.reason === error);
  }
  const expected = ['ERR_GAMMALOOP_CANCELLED', true, false, false, true, true];
  tell(words, 1, JSON.stringify(steps) === JSON.stringify(expected) ? 1 : 2);
  if (steps.length !== expected.length) throw new Error(`saw ${steps}`);
  await checkpoint();
}

/** Never waits. */
export function compute(words) {
  tell(words, 0, 1);
  const inner = new CancelScope();
  return inner.run(() => {
    try {
      for (;;) scopes.throwIfCancelled();
    } catch (error) {
      tell(words, 1, error.code === 'ERR_GAMMALOOP_CANCELLED' ? 1 : 2);
      throw error;
    }
  });
}

export async function ownDeadline() {
  const { cancelled } = await moveOnAfter(5, () => sleep(3_600_000));
  return [cancelled, currentScope().cancelled];
}

export async function untilOutOfTime() {
  try {
    await sleep(3_600_000);
  } finally {
    tell(workerData.gate, 1, taskContext().signal.aborted ? 1 : 2);
  }
}
