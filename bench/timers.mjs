// A million timers armed and cancelled: loop.callLater beside setTimeout.
//
//   npm run build:ts && node bench/timers.mjs [--rounds 7]
//
// Each round runs in a process of its own, and the kinds take turns. Processor time of the whole process, for arming and cancelling alone.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const COUNT = 1_000_000;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '7' } },
});
const nothing = () => {};
const delayOf = (i) => 60_000 + (i % 50);

/** What is measured: `together` arms all, then cancels all; `pairs` cancels each at once, as most timeouts are cancelled soon. */
const kinds = {
  async 'setTimeout together'() {
    return () => {
      const timers = new Array(COUNT);
      for (let i = 0; i < COUNT; i++) timers[i] = setTimeout(nothing, delayOf(i));
      for (let i = 0; i < COUNT; i++) clearTimeout(timers[i]);
    };
  },
  async 'callLater together'() {
    const { loop } = await import('../dist/index.js');
    return () => {
      const timers = new Array(COUNT);
      for (let i = 0; i < COUNT; i++) timers[i] = loop.callLater(delayOf(i), nothing);
      for (let i = 0; i < COUNT; i++) timers[i].cancel();
    };
  },
  async 'setTimeout pairs'() {
    return () => {
      for (let i = 0; i < COUNT; i++) clearTimeout(setTimeout(nothing, delayOf(i)));
    };
  },
  async 'callLater pairs'() {
    const { loop } = await import('../dist/index.js');
    return () => {
      for (let i = 0; i < COUNT; i++) loop.callLater(delayOf(i), nothing).cancel();
    };
  },
};

if (positionals[0] === 'measure') {
  const body = await kinds[positionals[1]]();
  body(); // compiled now
  const before = process.cpuUsage();
  body();
  const { user, system } = process.cpuUsage(before);
  console.log(((user + system) * 1000) / COUNT);
} else {
  const results = {};
  const names = Object.keys(kinds);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (let turn = 0; turn < names.length; turn++) {
      const name = names[(round + turn) % names.length];
      const printed = execFileSync(process.execPath, [fileURLToPath(import.meta.url), 'measure', name]);
      results[name] = [...(results[name] ?? []), Number(printed)];
    }
  }
  const middle = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
  for (const way of ['together', 'pairs']) {
    const [node, ours] = [middle(results[`setTimeout ${way}`]), middle(results[`callLater ${way}`])];
    console.log(
      `${way}: setTimeout ${node.toFixed(0)} ns, callLater ${ours.toFixed(0)} ns: ${(ours / node).toFixed(2)}x (target: 0.30x)`,
    );
  }
}
