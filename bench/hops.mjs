// How long a cancellation takes from hop to hop: client -> HTTP request -> responder in a thread or process -> task in a worker of a runner there.
//
//   npm run build:ts && node bench/hops.mjs [--rounds 100]
//
// All instants are of the machine's monotonic clock, which its processes share. Target: at most 10 ms a hop on an idle machine.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const self = fileURLToPath(import.meta.url);
const load = (path) => import(new URL(`../dist/${path}.js`, import.meta.url).href);
const now = () => Number(process.hrtime.bigint()) / 1e6;

/** The task: waits in its scope, and writes down when that was cancelled. */
export async function work(shared) {
  const { taskContext } = await load('runner/index');
  const { sleep } = await load('scope/index');
  const words = new Int32Array(shared, 0, 2);
  const times = new Float64Array(shared, 8, 1);
  taskContext().signal.addEventListener('abort', () => {
    times[0] = now();
    Atomics.store(words, 1, 1);
    Atomics.notify(words, 1);
  });
  Atomics.store(words, 0, 1);
  Atomics.notify(words, 0);
  await sleep(3_600_000);
}

/** The other side: a responder, whose handler runs a task. */
async function peer(makePort) {
  const { Responder } = await load('correlation/responder');
  const { Runner } = await load('runner/index');
  // Not before the responders can be made: what comes earlier is answered with NoResponderError.
  const port = makePort();
  const runner = new Runner({ module: import.meta.url, threads: 1, workerData: { task: true } });
  let shared;
  let told = 0;
  const flag = (index) => Atomics.waitAsync(new Int32Array(shared, 0, 2), index, 0).value;
  port.subscribe('_control.work', () => {
    told = now();
  });
  new Responder(port, 'prepare', () => {
    shared = new SharedArrayBuffer(16);
  });
  new Responder(port, 'work', () => runner.run('work', [shared]));
  new Responder(port, 'started', () => flag(0));
  new Responder(port, 'ended', async () => {
    await flag(1);
    return { told, task: new Float64Array(shared, 8, 1)[0] };
  });
}

function percentile(values, at) {
  return [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * at))];
}

async function measure(kind, port, rounds) {
  const { serve } = await load('index');
  const { Requester } = await load('correlation/requester');
  const requester = new Requester(port);
  let stopped = 0;
  const server = await serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (_request, ctx) => {
      ctx.signal.addEventListener('abort', () => {
        stopped = now();
      });
      return ctx.scope.run(() => requester.request('work'));
    },
  });
  const hops = { 'client to handler': [], 'handler to responder': [], 'responder to task': [] };
  for (let round = 0; round < rounds; round++) {
    await requester.request('prepare');
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await requester.request('started');
    const begun = now();
    socket.resetAndDestroy();
    const { told, task } = await requester.request('ended');
    hops['client to handler'].push(stopped - begun);
    hops['handler to responder'].push(told - stopped);
    hops['responder to task'].push(task - told);
  }
  for (const [hop, times] of Object.entries(hops)) {
    const [p50, p99] = [0.5, 0.99].map((at) => percentile(times, at).toFixed(2));
    const most = Math.max(...times).toFixed(2);
    console.log(`${kind.padEnd(8)} ${hop.padEnd(21)} p50 ${p50} ms, p99 ${p99} ms, most ${most} ms   [at most 10 ms]`);
  }
  requester.close();
  await server.close({ deadline: 0 });
}

if (workerData?.task) {
  // A worker of the runner: `work` is all.
} else if (!isMainThread) {
  const { ThreadPort } = await load('ports/thread');
  await peer(() => new ThreadPort(parentPort));
} else if (process.argv[2] === 'peer') {
  const { ProcessPort } = await load('ports/process');
  await peer(() => new ProcessPort(process));
} else {
  const { values } = parseArgs({ options: { rounds: { type: 'string', default: '100' } } });
  const { ThreadPort } = await load('ports/thread');
  const { ProcessPort } = await load('ports/process');
  const worker = new Worker(self);
  await measure('thread', new ThreadPort(worker), Number(values.rounds));
  await worker.terminate();
  const child = fork(self, ['peer'], { serialization: 'advanced' });
  await measure('process', new ProcessPort(child), Number(values.rounds));
  child.kill();
}
