// What an event costs that the selector reports: 1,000 pipes, a hundred of which, chosen at random each round, can be read.
//
//   npm run build && npm run build:ts && node bench/selector.mjs [--rounds 200]
//
// The limit is the processor time of limit/pipes.c (epoll_wait and a C call an event) and that of one call of a JavaScript function an event, measured here.
// Nothing is read between the waits, so that every wait of a round reports the same hundred; making them ready is not measured. Linux.
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { addReader, Interest, removeReader, Selector } from '../dist/selector/index.js';

const PIPES = 1000;
const READY = 100;
const WAITS = 50;
const { values } = parseArgs({ options: { rounds: { type: 'string', default: '200' } } });
const ROUNDS = Number(values.rounds);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'gammaloop-bench-'));
const names = Array.from({ length: PIPES }, (_, i) => join(folder, `${i}`));
execFileSync('mkfifo', names);
const pipes = names.map((name) => {
  const readEnd = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
  return { readEnd, writeEnd: openSync(name, constants.O_WRONLY), calls: 0 };
});
const program = join(folder, 'limit');
execFileSync(process.env.CC ?? 'cc', ['-O2', '-o', program, here('limit/pipes.c')]);

const byte = Buffer.alloc(1);
const middle = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const cpuNs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

/** Nanoseconds an event: `waits` reports READY * WAITS events, after which all are read. */
async function measure(waits) {
  const results = [];
  for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < READY; i++) {
      const other = i + Math.floor(Math.random() * (PIPES - i));
      [pipes[i], pipes[other]] = [pipes[other], pipes[i]];
      writeSync(pipes[i].writeEnd, byte);
      pipes[i].calls = 0;
    }
    const from = cpuNs();
    await waits();
    results.push((cpuNs() - from) / (READY * WAITS));
    for (let i = 0; i < READY; i++) {
      if (pipes[i].calls < WAITS) throw new Error(`${pipes[i].calls} reports of a pipe that was ready ${WAITS} times`);
      readSync(pipes[i].readEnd, byte);
    }
  }
  return middle(results);
}

const callbacks = new Map(pipes.map((pipe) => [pipe, () => pipe.calls++]));

function callbackAlone() {
  const chosen = pipes.slice(0, READY).map((pipe) => callbacks.get(pipe));
  for (let i = 0; i < WAITS; i++) for (const callback of chosen) callback(1);
}

async function selecting() {
  const selector = new Selector();
  for (const pipe of pipes) selector.register(pipe.readEnd, Interest.Read, callbacks.get(pipe));
  const result = await measure(() => {
    for (let i = 0; i < WAITS; i++) for (const { readiness, data } of selector.select(-1)) data(readiness);
  });
  selector.close();
  return result;
}

async function iterating() {
  const selector = new Selector();
  for (const pipe of pipes) selector.register(pipe.readEnd, Interest.Read, callbacks.get(pipe));
  const result = await measure(async () => {
    let batches = 0;
    for await (const events of selector) {
      for (const { readiness, data } of events) data(readiness);
      if (++batches === WAITS) break;
    }
  });
  selector.close();
  return result;
}

async function reading() {
  let calls = 0;
  let done;
  for (const pipe of pipes) {
    addReader(pipe.readEnd, () => {
      pipe.calls++;
      if (++calls === READY * WAITS) done();
    });
  }
  const result = await measure(() => {
    calls = 0;
    return new Promise((resolve) => {
      done = resolve;
    });
  });
  for (const pipe of pipes) removeReader(pipe.readEnd);
  return result;
}

try {
  const epoll = Number(execFileSync(program, [PIPES, READY, ROUNDS, WAITS].map(String)));
  const callback = await measure(callbackAlone);
  const limit = epoll + callback;
  const show = (name, ns) =>
    console.log(`${name.padEnd(34)} ${ns.toFixed(0).padStart(5)} ns an event  ${(ns / limit).toFixed(2)}x`);
  show(`limit: epoll ${epoll.toFixed(0)} + callback ${callback.toFixed(0)}`, limit);
  show('select(), a callback each', await selecting());
  show('for await, a callback each', await iterating());
  show('addReader', await reading());
} finally {
  for (const { readEnd, writeEnd } of pipes) {
    closeSync(readEnd);
    closeSync(writeEnd);
  }
  rmSync(folder, { recursive: true });
}
