// Tasks that wait by gammaloop/scope.
import { workerData } from 'node:worker_threads';
import { arrive, leave } from './gates.mjs';

const { taskContext } = await import(workerData.library);
const scopes = await import(new URL('../scope/index.js', workerData.library).href);
const { CancelScope, checkpoint, currentDeadline, currentScope, moveOnAfter, openNursery, shield, sleep } = scopes;
const { currentTraceparent } = await import(new URL('../scope/traced-scope.js', workerData.library).href);

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
export async function wait(gate) {
  const inner = new CancelScope();
  const steps = [];
  try {
    await inner.run(() =>
      openNursery((nursery) => {
        nursery.startSoon(() => sleep(3_600_000));
        nursery.startSoon(async () => {
          arrive(gate);
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
  leave(gate, JSON.stringify(steps) === JSON.stringify(expected) ? 1 : 2);
  if (steps.length !== expected.length) throw new Error(`saw ${steps}`);
  await checkpoint();
}

/** Never waits. */
export function compute(gate) {
  arrive(gate);
  const inner = new CancelScope();
  return inner.run(() => {
    try {
      for (;;) scopes.throwIfCancelled();
    } catch (error) {
      leave(gate, error.code === 'ERR_GAMMALOOP_CANCELLED' ? 1 : 2);
      throw error;
    }
  });
}

export async function ownDeadline() {
  const { cancelled } = await moveOnAfter(5, () => sleep(3_600_000));
  return [cancelled, currentScope().cancelled];
}

export async function untilOutOfTime() {
  arrive(workerData.gate);
  try {
    await sleep(3_600_000);
  } finally {
    leave(workerData.gate, taskContext().signal.aborted ? 1 : 2);
  }
}
