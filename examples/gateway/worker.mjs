// A worker process. Each job is a responder's handler: it runs in a cancel scope that ends with the client, the deadline, or the gateway.
import { createEnvelope, Responder } from 'gammaloop/correlation';
import { ProcessPort } from 'gammaloop/ports/process';
import { Cancelled, checkpoint, sleep } from 'gammaloop/scope';

/** So many numbers are looked at between two checkpoints. */
const BLOCK = 10_000;
const CONCURRENCY = 32;

const port = new ProcessPort(process);
const counters = { running: 0, started: 0, finished: 0, cancelled: 0, failed: 0 };

async function primes({ below }) {
  return { below, primes: await countPrimes(2, below) };
}

async function wait({ ms }) {
  await sleep(ms);
  return { waited: ms };
}

async function* report({ lines, every }) {
  let primes = 0;
  for (let line = 1; line <= lines; line++) {
    await sleep(every);
    const below = line * BLOCK;
    primes += await countPrimes(Math.max(below - BLOCK, 2), below);
    yield { line, of: lines, below, primes };
  }
}

/** As a bug in native code would do it, in the middle of the work. */
async function crash() {
  await sleep(100);
  process.kill(process.pid, 'SIGKILL');
  await sleep(Number.POSITIVE_INFINITY);
}

async function countPrimes(from, below) {
  let count = 0;
  for (let number = from; number < below; number++) {
    if (isPrime(number)) count++;
    if (number % BLOCK === 0) await checkpoint();
  }
  return count;
}

function isPrime(number) {
  for (let divisor = 2; divisor * divisor <= number; divisor++) {
    if (number % divisor === 0) return false;
  }
  return true;
}

/** Answers with one reply, and says who gave it and how much time was left for it. */
function job(work) {
  return async ({ payload }, { deadline, traceId }) => {
    const left = Math.round(deadline - performance.now());
    const end = begin();
    try {
      const result = await work(payload);
      end('finished');
      return { ...result, worker: process.pid, left, traceId };
    } catch (error) {
      end(endingOf(error));
      throw error;
    }
  };
}

/** Answers part by part. */
function stream(work) {
  return async function* ({ payload }) {
    const end = begin();
    try {
      yield* work(payload);
      end('finished');
    } catch (error) {
      end(endingOf(error));
      throw error;
    } finally {
      end('cancelled'); // left at a yield
    }
  };
}

/** Counts a task; the function that it returns counts its ending, once. */
function begin() {
  counters.running++;
  counters.started++;
  tell();
  let over = false;
  return (ending) => {
    if (over) return;
    over = true;
    counters.running--;
    counters[ending]++;
    tell();
  };
}

function endingOf(error) {
  return error instanceof Cancelled ? 'cancelled' : 'failed';
}

/** The gateway is told each change: what it has heard stays known when this process dies. */
function tell() {
  if (port.closed) return;
  const payload = { ...counters };
  port.publish(createEnvelope({ kind: 'request', id: 0, subject: 'counters', payload })); // no replyTo: nobody answers
}

// Ctrl-C in a terminal reaches this process too, but when to end is for the gateway to say: with its channel this process ends.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

const options = { concurrency: CONCURRENCY };
new Responder(port, 'primes', job(primes), options);
new Responder(port, 'wait', job(wait), options);
new Responder(port, 'report', stream(report), options);
new Responder(port, 'crash', job(crash), options);
tell(); // ready
