// A million timers armed and cancelled: loop.callLater beside setTimeout.
//
//   npm run build:ts && node bench/timers.mjs [--rounds 7] [--only pairs,together,random,run]
//
// Each measurement runs in a process of its own, and the kinds take turns. Processor time of the whole process, garbage collection and all.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const COUNT = 1_000_000;
const TARGET = 0.3;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' }, only: { type: 'string', default: 'pairs,together,random,run' } },
});
const nothing = () => {};

/** From 0 to 1; the same in every process. */
let state = 1;
function random() {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
}

const arming = {
  async setTimeout() {
    return { arm: (ms, callback) => setTimeout(callback, ms), cancel: (timer) => clearTimeout(timer) };
  },
  async callLater() {
    const { loop } = await import('../dist/index.js');
    return { arm: (ms, callback) => loop.callLater(ms, callback), cancel: (timer) => timer.cancel() };
  },
};

const delays = {
  one: () => 60_000,
  many: () => 1000 + Math.floor(random() * 3_599_000),
};

/** What is measured. `pairs` cancels each at once, as most timeouts are cancelled soon; `together` and `random` arm all, then cancel all, in order or not. */
const ways = {
  pairs({ arm, cancel }, wait) {
    for (let i = 0; i < COUNT; i++) cancel(arm(wait[i], nothing));
  },
  together({ arm, cancel }, wait) {
    const timers = new Array(COUNT);
    for (let i = 0; i < COUNT; i++) timers[i] = arm(wait[i], nothing);
    for (let i = 0; i < COUNT; i++) cancel(timers[i]);
  },
  random({ arm, cancel }, wait, order) {
    const timers = new Array(COUNT);
    for (let i = 0; i < COUNT; i++) timers[i] = arm(wait[i], nothing);
    for (let i = 0; i < COUNT; i++) cancel(timers[order[i]]);
  },
  /** Not cancelled: all run, within a tenth of a second. For information. */
  run({ arm }, wait) {
    return new Promise((resolve) => {
      let ran = 0;
      const count = () => {
        if (++ran === COUNT) resolve();
      };
      for (let i = 0; i < COUNT; i++) arm(1 + (wait[i] % 100), count);
    });
  },
};

if (positionals[0] === 'measure') {
  const [, name, way, delay] = positionals;
  const timers = await arming[name]();
  const wait = Uint32Array.from({ length: COUNT }, delays[delay]);
  const order = Uint32Array.from({ length: COUNT }, (_, i) => i);
  for (let i = COUNT - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [order[i], order[other]] = [order[other], order[i]];
  }
  await ways[way](timers, wait, order); // compiled now
  const before = process.cpuUsage();
  await ways[way](timers, wait, order);
  const { user, system } = process.cpuUsage(before);
  console.log(((user + system) * 1000) / COUNT);
} else {
  const kinds = values.only.split(',').flatMap((way) => Object.keys(delays).map((delay) => [way, delay]));
  const results = new Map();
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [way, delay] of kinds) {
      for (const name of round % 2 === 0 ? ['setTimeout', 'callLater'] : ['callLater', 'setTimeout']) {
        const arguments_ = [fileURLToPath(import.meta.url), 'measure', name, way, delay];
        const key = `${name} ${way} ${delay}`;
        results.set(key, [...(results.get(key) ?? []), Number(execFileSync(process.execPath, arguments_))]);
      }
    }
  }
  const middle = (key) => [...results.get(key)].sort((a, b) => a - b)[Math.floor(results.get(key).length / 2)];
  console.log(`node ${process.version}`);
  for (const [way, delay] of kinds) {
    const [node, ours] = [middle(`setTimeout ${way} ${delay}`), middle(`callLater ${way} ${delay}`)];
    const target = way === 'run' ? '' : ` (target: ${TARGET.toFixed(2)}x)`;
    const what = `${way}, ${delay} delay${delay === 'one' ? '' : 's'}`.padEnd(22);
    console.log(
      `${what} setTimeout ${node.toFixed(0).padStart(5)} ns, callLater ${ours.toFixed(0).padStart(4)} ns: ${(ours / node).toFixed(2)}x${target}`,
    );
  }
}
