/**
 * ASYNC-03, with messages under way: 20,000 random interleavings of requests, streams, their answers (also repeated, late, and after an end), deadlines, signals, scopes and
 * `close`, over a memory port, against a model. Answers take effect when they arrive, so each of them races with everything else.
 */
import { expect, test } from 'vitest';
import { createEnvelope, type Envelope } from '../../../lib/correlation/envelope.js';
import { Requester } from '../../../lib/correlation/requester.js';
import { MemoryPort } from '../../../lib/ports/memory.js';
import { CancelScope } from '../../../lib/scope/cancel-scope.js';
import { HandClock, Random } from './virtual.js';

const SCENARIOS = 20_000;
const SEED = 20260102;
const CONCURRENT = 50;

interface Asked {
  readonly kind: 'request' | 'stream';
  readonly deadline: number;
  readonly controller: AbortController | null;
  readonly inScope: boolean;
  /** As the responder got it. */
  envelope: Envelope | null;
  sent: boolean;
  expected: string | null;
  expectsCancel: boolean;
  readonly expectedParts: number[];
  readonly parts: number[];
  readonly seen: string[];
  partsSent: number;
}

type Op = 'ask' | 'answer' | 'flush' | 'advance' | 'abort' | 'scope' | 'close';
const OPS: readonly Op[] = [
  'ask',
  'ask',
  'answer',
  'answer',
  'answer',
  'answer',
  'flush',
  'flush',
  'flush',
  'advance',
  'abort',
  'scope',
  'close',
];

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function same(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)} is not ${String(expected)}`);
}

function nameOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  return code ?? message;
}

class Scenario {
  readonly #random: Random;
  readonly #clock: HandClock;
  readonly #port: MemoryPort;
  readonly #requester: Requester;
  readonly #scope = new CancelScope();
  readonly #asked: Asked[] = [];
  /** Answers that are under way. */
  readonly #underWay: (() => void)[] = [];
  readonly #cancelled: unknown[] = [];
  #requestsArrived = 0;
  #unmatched = 0;
  #closed = false;
  #scopeCancelled = false;

  constructor(random: Random, clock: HandClock) {
    this.#random = random;
    this.#clock = clock;
    this.#port = new MemoryPort();
    this.#port.subscribe('work', (envelope) => {
      // In the order of asking.
      const sent = this.#asked.filter((asked) => asked.sent);
      (sent[this.#requestsArrived++] as Asked).envelope = envelope;
    });
    this.#port.subscribe('_control.work', ({ id }) => this.#cancelled.push(id));
    this.#requester = new Requester(this.#port, { timeout: 50, window: 1000 });
    this.#scope.enter(null);
  }

  async run(): Promise<string[]> {
    for (let step = 6 + this.#random.below(14); step > 0; step--) {
      const op = this.#asked.length === 0 ? 'ask' : this.#random.pick(OPS);
      if (op === 'flush') await this.#flush();
      else this.#clock.run(() => this.#do(op));
    }
    this.#clock.run(() => this.#close());
    await this.#flush();
    return this.#check();
  }

  #do(op: Op): void {
    const random = this.#random;
    switch (op) {
      case 'ask':
        this.#ask();
        break;
      case 'answer':
        this.#answer(random.pick(this.#asked));
        break;
      case 'advance':
        this.#clock.advance(random.pick([1, 5, 20, 60]));
        for (const asked of this.#asked) {
          if (asked.deadline <= this.#clock.now()) this.#abandon(asked, 'ERR_GAMMALOOP_TIMEOUT');
        }
        break;
      case 'abort': {
        const asked = random.pick(this.#asked);
        asked.controller?.abort(new Error('signal'));
        if (asked.controller !== null) this.#abandon(asked, 'signal');
        break;
      }
      case 'scope':
        if (random.below(4) > 0) break;
        this.#scope.cancel();
        this.#scopeCancelled = true;
        for (const asked of this.#asked) if (asked.inScope) this.#abandon(asked, 'ERR_GAMMALOOP_CANCELLED');
        break;
      default:
        if (random.below(6) === 0) this.#close();
    }
  }

  #ask(): void {
    const random = this.#random;
    const kind = random.below(3) === 0 ? 'stream' : 'request';
    const timeout = random.pick([undefined, 1, 10, 40, Number.POSITIVE_INFINITY]);
    const controller = random.below(3) === 0 ? new AbortController() : null;
    if (random.below(10) === 0) controller?.abort(new Error('signal'));
    const inScope = random.below(3) === 0;
    const asked: Asked = {
      kind,
      deadline: this.#clock.now() + (timeout ?? 50),
      controller,
      inScope,
      envelope: null,
      sent: false,
      expected: null,
      expectsCancel: false,
      expectedParts: [],
      parts: [],
      seen: [],
      partsSent: 0,
    };
    this.#asked.push(asked);
    if (this.#closed) asked.expected = 'ERR_GAMMALOOP_CLOSED';
    else if (inScope && this.#scopeCancelled) asked.expected = 'ERR_GAMMALOOP_CANCELLED';
    else if (controller?.signal.aborted) asked.expected = 'signal';
    else asked.sent = true;
    const options = {
      ...(timeout === undefined ? {} : { timeout }),
      ...(controller === null ? {} : { signal: controller.signal }),
      ...(inScope ? { scope: this.#scope } : {}),
    };
    const end = (outcome: string) => asked.seen.push(outcome);
    if (kind === 'request') {
      this.#requester.request('work', null, options).then(
        (value) => end(`value ${String(value)}`),
        (error) => end(nameOf(error)),
      );
      return;
    }
    const consume = async () => {
      for await (const part of this.#requester.stream<number>('work', null, options)) asked.parts.push(part);
    };
    consume().then(
      () => end('end'),
      (error) => end(nameOf(error)),
    );
  }

  /** Whatever a responder could send, whether it is welcome or not. */
  #answer(asked: Asked): void {
    const { envelope, kind } = asked;
    if (envelope === null) {
      return;
    }
    const { id, replyTo } = envelope;
    const random = this.#random;
    const number = random.below(1e6);
    const send = (kind: Envelope['kind'], payload: unknown, count: number, arrives: () => void) => {
      const error = kind === 'error' ? { code: 'ENOPE', message: 'nope' } : undefined;
      this.#port.publish(createEnvelope({ kind, id, subject: replyTo as string, payload, count, error }));
      // Nobody is there any more.
      if (this.#closed) return;
      this.#underWay.push(() => {
        if (asked.expected !== null) this.#unmatched++;
        else arrives();
      });
    };
    if (random.below(4) === 0) {
      send('error', undefined, 0, () => {
        asked.expected = 'ENOPE';
      });
    } else if (kind === 'request') {
      send('reply', number, 0, () => {
        asked.expected = `value ${number}`;
      });
    } else if (random.below(5) < 2) {
      send('end', undefined, asked.partsSent, () => {
        asked.expected = 'end';
      });
    } else {
      // Now and then one that was sent before.
      const again = asked.partsSent > 0 && random.below(5) === 0;
      const count = again ? random.below(asked.partsSent) : asked.partsSent++;
      send('part', count * 7, count, () => {
        if (!again) asked.expectedParts.push(count * 7);
      });
    }
  }

  async #flush(): Promise<void> {
    await turn();
    for (const arrives of this.#underWay.splice(0)) arrives();
  }

  #close(): void {
    this.#closed = true;
    this.#requester.close();
    for (const asked of this.#asked) this.#abandon(asked, 'ERR_GAMMALOOP_CLOSED');
    // Answers that are under way find no inbox.
    this.#underWay.length = 0;
  }

  #abandon(asked: Asked, outcome: string): void {
    if (asked.expected === null) {
      asked.expected = outcome;
      asked.expectsCancel = asked.sent;
    }
  }

  #check(): string[] {
    for (const { seen, expected, parts, expectedParts } of this.#asked) {
      same(seen.join(), expected, 'outcome');
      same(parts.join(), expectedParts.join(), 'parts');
    }
    const expectedCancels = this.#asked.filter(({ expectsCancel }) => expectsCancel).length;
    same(this.#cancelled.length, expectedCancels, 'cancels');
    same(new Set(this.#cancelled).size, expectedCancels, 'different cancels');
    for (const { expectsCancel, envelope } of this.#asked) {
      same(this.#cancelled.includes(envelope?.id), expectsCancel, 'told the responder');
    }
    const { open, streams, late, duplicate, unknown, cancelsSent } = this.#requester.stats();
    same(open + streams, 0, 'open');
    same(late + duplicate + unknown, this.#unmatched, 'unmatched');
    same(cancelsSent, expectedCancels, 'cancelsSent');
    same(this.#port.stats().subscriptions, 2, 'subscriptions');
    this.#scope.exit();
    return this.#asked.map(({ expected }) => (expected as string).split(' ')[0] as string);
  }
}

test(`${SCENARIOS} interleavings over a port end each request once, as the model says`, {
  timeout: 60_000,
}, async () => {
  const random = new Random(SEED);
  const kinds = new Map<string, number>();
  for (let number = 0; number < SCENARIOS; number += CONCURRENT) {
    await Promise.all(
      Array.from({ length: CONCURRENT }, async (_, index) => {
        const clock = new HandClock();
        const scenario = new Scenario(new Random(random.below(2 ** 32)), clock);
        try {
          for (const kind of await scenario.run()) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
          same(clock.deadlines.size, 0, 'deadlines');
        } catch (cause) {
          throw new Error(`scenario ${number + index} of seed ${SEED}`, { cause });
        }
      }),
    );
  }
  for (const kind of [
    'value',
    'end',
    'ENOPE',
    'ERR_GAMMALOOP_TIMEOUT',
    'ERR_GAMMALOOP_CANCELLED',
    'signal',
    'ERR_GAMMALOOP_CLOSED',
  ]) {
    expect(kinds.get(kind), kind).toBeGreaterThan(500);
  }
});
