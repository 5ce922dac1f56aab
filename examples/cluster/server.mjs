// The cluster's gateway: node examples/cluster/server.mjs, after npm run build. HTTP comes in, three worker processes behind NATS do the work.
//
//   NATS_URL           default nats://127.0.0.1:4222; the server needs JetStream (nats-server -js)
//   PORT               default 3000; 0 takes any free port
//   WORKERS            worker processes, default 3; 0 where they are started elsewhere
//   GAMMALOOP_BACKEND  native, node or auto (the default)
import { Response, serve } from 'gammaloop';
import { Requester } from 'gammaloop/correlation';
import { NatsPort } from 'gammaloop/ports/nats';
import { WorkerProcesses } from './workers.mjs';

/** After which the work of a worker that died goes to another. */
const ACK_WAIT_MS = 2000;
const TIMEOUT_MS = 20_000;
const DRAIN_MS = 5000;
const MAX_PRIME = 5_000_000;

const natsUrl = process.env.NATS_URL || 'nats://127.0.0.1:4222';
const port = new NatsPort({ servers: natsUrl, prefix: 'cluster', durable: { ackWait: ACK_WAIT_MS } });
await port.ready().catch((error) => {
  console.error(`${error.message} (${natsUrl}); start one with: nats-server -js`);
  process.exit(1);
});
const requester = new Requester(port, { timeout: TIMEOUT_MS });
const workers = new WorkerProcesses(Number(process.env.WORKERS || 3), natsUrl, ACK_WAIT_MS);

async function fetch(request, ctx) {
  const { pathname, searchParams } = new URL(request.url);
  if (pathname === '/workers') {
    return Response.json({ pids: workers.pids, replaced: workers.replaced });
  }
  if (pathname !== '/primes') {
    return Response.json({ message: 'Try /primes?below=100000 or /workers' }, { status: 404 });
  }
  const below = Number(searchParams.get('below') ?? 100_000);
  if (!Number.isInteger(below) || below < 2 || below > MAX_PRIME) {
    return Response.json({ message: `below: a whole number from 2 to ${MAX_PRIME}` }, { status: 400 });
  }
  try {
    const work = { task: 'primes', args: [below] };
    return Response.json(await requester.request('tasks', work, { signal: ctx.signal, traceparent: ctx.traceparent }));
  } catch (error) {
    if (ctx.signal.aborted) throw error;
    return Response.json({ message: error.message }, { status: error.code === 'ERR_GAMMALOOP_TIMEOUT' ? 504 : 502 });
  }
}

const server = await serve({ fetch, port: Number(process.env.PORT || 3000), hostname: '127.0.0.1' });
console.log(`gammaloop cluster: ${server.url}
Backend: ${server.backend}, workers: ${workers.pids.join(', ')}

  curl '${server.url}/primes?below=1000000'
  curl ${server.url}/workers

Kill a worker while it works (kill -9 PID): its work goes to another. Ctrl-C drains and exits.`);

let stopping = false;
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    if (stopping) process.exit(1);
    stopping = true;
    const { drained, cut } = await server.close({ deadline: DRAIN_MS });
    await workers.stop();
    await port.close();
    console.log(`Stopped: ${drained} in flight finished, ${cut} cut`);
  });
}
