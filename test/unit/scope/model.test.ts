/**
 * Random trees of scopes, nurseries, shields and deadlines, with cancels, shields and deadlines changed from outside while everything
 * waits: what happens under the virtual clock against a model that computes each state anew from the rules, without caches, lists or
 * promises. Kinds of events have times of their own (modulo 8), so that no outcome hangs on the order within an instant: where a scope
 * and its surroundings are cancelled at once, by two failures, which of them absorbs is a race.
 */
import { expect, test } from 'vitest';
import { Cancelled } from '../../../lib/errors.js';
import { CancelScope, currentTime, type Nursery, openNursery, sleep, sleepUntil } from '../../../lib/scope/index.js';
import { withVirtualClock } from '../../../lib/scope/testing.js';
import { unhandledDuring } from './support.js';

interface Leaf {
  kind: 'leaf';
  id: string;
  sleeps: number[];
  /** How often it catches Cancelled and tries to sleep again. */
  stubborn: number;
  fails: boolean;
  /** Throws an error of its own when cancelled, as a failing clean-up does. */
  failsWhenCancelled: boolean;
}

interface Branch {
  kind: 'branch';
  id: string;
  delay: number;
  shield: boolean;
  deadline: number;
  children: Task[];
}

type Task = Leaf | Branch;

interface Act {
  at: number;
  target: string;
  kind: 'cancel' | 'shield' | 'unshield' | 'deadline' | 'cancelNursery';
  deadline: number;
}

interface Program {
  root: Branch;
  acts: Act[];
}

type Log = string[];

function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

function makeProgram(seed: number): Program {
  const below = random(seed);
  const branches: string[] = [];
  let budget = 4 + below(18);
  let failures = 0;
  // Failing clean-up races with scopes that are cancelled at the same instant for reasons of their own; then those have none.
  const failingCleanUp = below(2) === 0;
  const deadlines = Array.from({ length: 40 }, (_, index) => 2 + 8 * (12 + index));
  const pickDeadline = (): number =>
    failingCleanUp ? deadlines.splice(below(deadlines.length), 1)[0]! : 2 + 8 * below(12);
  const makeTask = (id: string, depth: number): Task => {
    budget--;
    if (depth < 5 && budget > 0 && below(3) > 0) {
      return makeBranch(id, depth);
    }
    const sleeps = Array.from({ length: below(4) }, () => 8 * (1 + below(failingCleanUp ? 40 : 6)));
    const fails = below(8) === 0;
    if (fails) {
      // Each at an instant of its own, wherever it starts.
      sleeps.splice(0, sleeps.length, 7 + 8 * 16 * failures++);
    }
    return {
      kind: 'leaf',
      id,
      sleeps,
      stubborn: below(3) === 0 ? 1 + below(2) : 0,
      fails,
      failsWhenCancelled: failingCleanUp && below(4) === 0,
    };
  };
  const makeBranch = (id: string, depth: number): Branch => {
    branches.push(id);
    const branch: Branch = {
      kind: 'branch',
      id,
      delay: 8 * Math.max(0, below(5) - 2),
      shield: below(4) === 0,
      deadline: below(3) === 0 ? pickDeadline() : Number.POSITIVE_INFINITY,
      children: [],
    };
    const count = 1 + below(3);
    for (let index = 0; index < count; index++) {
      branch.children.push(makeTask(`${id}.${index}`, depth + 1));
    }
    return branch;
  };
  const root = makeBranch('r', 0);
  const kinds = ['cancel', 'shield', 'unshield', 'deadline', 'cancelNursery'] as const;
  const residues = { cancel: 4, shield: 6, unshield: 5, deadline: 1, cancelNursery: 3 };
  const acts = Array.from({ length: below(5) }, (): Act => {
    const kind = kinds[below(kinds.length)]!;
    const at = residues[kind] + 8 * below(failingCleanUp ? 50 : 10);
    const target = branches[below(branches.length)]!;
    return { at, target, kind, deadline: below(4) === 0 ? Number.POSITIVE_INFINITY : pickDeadline() };
  });
  // Two acts at once on one thing would have an order.
  const seen = new Set<number>();
  return {
    root,
    acts: acts.filter((act) => !seen.has(act.at) && seen.add(act.at)).sort((a, b) => a.at - b.at),
  };
}

// The real thing.

async function perform(program: Program): Promise<Log> {
  const log: Log = [];
  const scopes = new Map<string, CancelScope>();
  const nurseries = new Map<string, Nursery>();

  const runLeaf = async (leaf: Leaf): Promise<void> => {
    let patience = leaf.stubborn;
    for (let step = 0; step < leaf.sleeps.length; ) {
      try {
        await sleep(leaf.sleeps[step]!);
        step++;
      } catch (error) {
        expect(error).toBeInstanceOf(Cancelled);
        log.push(`${leaf.id} cancelled in step ${step} at ${currentTime()}`);
        if (patience-- === 0) {
          throw leaf.failsWhenCancelled ? new Error(`${leaf.id} cleaning up`) : error;
        }
      }
    }
    log.push(`${leaf.id} ends at ${currentTime()}`);
    if (leaf.fails) {
      throw new Error(leaf.id);
    }
  };
  const runBranch = async (branch: Branch): Promise<void> => {
    if (branch.delay > 0) {
      await sleep(branch.delay);
    }
    const scope = new CancelScope({ shield: branch.shield, deadline: branch.deadline });
    scopes.set(branch.id, scope);
    try {
      await scope.run(() =>
        openNursery((nursery) => {
          nurseries.set(branch.id, nursery);
          for (const child of branch.children) {
            nursery.startSoon(() => (child.kind === 'leaf' ? runLeaf(child) : runBranch(child)));
          }
        }),
      );
    } finally {
      log.push(`${branch.id} left at ${currentTime()}${scope.cancelledCaught ? ', caught' : ''}`);
    }
  };

  const work = runBranch(program.root).then(
    () => log.push('root ends'),
    (error) => log.push(`root fails: ${errorNames(error).sort().join()}`),
  );
  for (const act of program.acts) {
    await sleepUntil(act.at);
    const scope = scopes.get(act.target);
    if (scope === undefined) {
      continue;
    }
    if (act.kind === 'cancel') {
      scope.cancel();
    } else if (act.kind === 'cancelNursery') {
      nurseries.get(act.target)?.cancelScope.cancel();
    } else if (act.kind === 'deadline') {
      scope.deadline = act.deadline;
    } else {
      scope.shield = act.kind === 'shield';
    }
  }
  await work;
  return log.sort();
}

function errorNames(error: unknown): string[] {
  if (error instanceof AggregateError) {
    return error.errors.flatMap(errorNames);
  }
  return [error instanceof Cancelled ? 'Cancelled' : (error as Error).message];
}

// The model.

interface Result {
  cancelled: boolean;
  errors: string[];
}

class ModelScope {
  readonly parent: ModelScope | null;
  own = false;
  shield = false;
  deadline = Number.POSITIVE_INFINITY;
  open = true;

  constructor(parent: ModelScope | null) {
    this.parent = parent;
  }
  get parentVisible(): boolean {
    return !this.shield && this.parent !== null && this.parent.effective;
  }
  get effective(): boolean {
    return this.own || this.parentVisible;
  }
  /** Ends with a result; returns what goes on. */
  leave(result: Result): { result: Result; caught: boolean } {
    const caught = result.cancelled && this.effective && !this.parentVisible;
    this.open = false;
    return { result: caught ? { ...result, cancelled: false } : result, caught };
  }
}

class ModelTask {
  readonly task: Task;
  readonly outside: ModelScope | null;
  readonly onEnd: (result: Result) => void;
  wakeAt = -1;
  step = 0;
  patience: number;
  ended = false;
  scope: ModelScope | null = null;
  nursery: ModelScope | null = null;
  running = 0;
  readonly collected: Result = { cancelled: false, errors: [] };

  constructor(task: Task, outside: ModelScope | null, onEnd: (result: Result) => void) {
    this.task = task;
    this.outside = outside;
    this.onEnd = onEnd;
    this.patience = task.kind === 'leaf' ? task.stubborn : 0;
  }
  end(result: Result): void {
    this.ended = true;
    this.onEnd(result);
  }
}

function predict(program: Program): Log {
  const log: Log = [];
  const tasks: ModelTask[] = [];
  const byId = new Map<string, ModelTask>();
  let now = 0;

  const begin = (task: Task, outside: ModelScope | null, onEnd: (result: Result) => void): void => {
    const model = new ModelTask(task, outside, onEnd);
    tasks.push(model);
    byId.set(task.id, model);
    if (task.kind === 'leaf') {
      continueLeaf(model, task);
    } else if (task.delay > 0) {
      model.wakeAt = now + task.delay;
    } else {
      enter(model, task);
    }
  };
  const continueLeaf = (model: ModelTask, leaf: Leaf): void => {
    if (model.step < leaf.sleeps.length) {
      model.wakeAt = now + leaf.sleeps[model.step]!;
      return;
    }
    log.push(`${leaf.id} ends at ${now}`);
    model.end({ cancelled: false, errors: leaf.fails ? [leaf.id] : [] });
  };
  const enter = (model: ModelTask, branch: Branch): void => {
    const scope = new ModelScope(model.outside);
    scope.shield = branch.shield;
    scope.deadline = branch.deadline;
    scope.own = scope.deadline <= now;
    const nursery = new ModelScope(scope);
    model.scope = scope;
    model.nursery = nursery;
    model.wakeAt = -1;
    model.running = branch.children.length;
    for (const child of branch.children) {
      begin(child, nursery, (result) => {
        model.running--;
        model.collected.cancelled ||= result.cancelled;
        model.collected.errors.push(...result.errors);
        if (result.cancelled || result.errors.length > 0) {
          nursery.own = true;
        }
      });
    }
  };
  /** One step of whatever can go on at this instant. */
  const stepOnce = (): boolean => {
    for (const model of tasks) {
      const { task } = model;
      if (model.ended) {
        continue;
      }
      if (model.wakeAt !== -1) {
        if (model.wakeAt === now) {
          model.wakeAt = -1;
          if (task.kind === 'leaf') {
            model.step++;
            continueLeaf(model, task);
          } else {
            enter(model, task);
          }
          return true;
        }
        if (model.outside?.effective === true) {
          model.wakeAt = -1;
          if (task.kind === 'leaf') {
            log.push(`${task.id} cancelled in step ${model.step} at ${now}`);
            if (model.patience-- > 0) {
              continueLeaf(model, task);
              return true;
            }
          }
          const failed = task.kind === 'leaf' && task.failsWhenCancelled;
          model.end({ cancelled: !failed, errors: failed ? [`${task.id} cleaning up`] : [] });
          return true;
        }
      } else if (task.kind === 'branch' && model.running === 0) {
        const { result } = model.nursery!.leave(model.collected);
        const left = model.scope!.leave(result);
        log.push(`${task.id} left at ${now}${left.caught ? ', caught' : ''}`);
        model.end(left.result);
        return true;
      }
    }
    return false;
  };

  begin(program.root, null, (result) => {
    const names = [...result.errors, ...(result.cancelled ? ['Cancelled'] : [])];
    log.push(names.length === 0 ? 'root ends' : `root fails: ${names.sort().join()}`);
  });
  for (now = 0; now <= 4000; now++) {
    for (const { scope } of tasks) {
      if (scope?.open === true && scope.deadline <= now) {
        scope.own = true;
      }
    }
    for (const act of program.acts) {
      const model = byId.get(act.target);
      if (act.at !== now || model === undefined || model.scope === null) {
        continue;
      }
      const { scope, nursery } = model;
      if (act.kind === 'cancel') {
        scope.own = true;
      } else if (act.kind === 'cancelNursery') {
        nursery!.own = true;
      } else if (act.kind === 'deadline') {
        scope.deadline = act.deadline;
        scope.own ||= scope.open && act.deadline <= now;
      } else {
        scope.shield = act.kind === 'shield';
      }
    }
    while (stepOnce()) {
      // Until the instant is done.
    }
  }
  return log.sort();
}

const CASES_EACH = 500;

test.each([1, 2, 3, 4, 5, 6])('random trees behave as the model says (seeds %i001 ...)', async (block) => {
  const unhandled = await unhandledDuring(async () => {
    for (let index = 0; index < CASES_EACH; index++) {
      const seed = block * 1000 + index;
      const program = makeProgram(seed);
      const actual = await withVirtualClock(async (clock) => {
        const log = await perform(program);
        expect(clock.pendingDeadlines).toBe(0);
        return log;
      });
      expect({ seed, program, log: actual }).toEqual({ seed, program, log: predict(program) });
    }
  });
  expect(unhandled).toEqual([]);
});
