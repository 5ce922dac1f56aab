// The gateway: node examples/gateway/server.mjs, after npm run build. The routes are in app.mjs, the worker processes in workers.mjs.
//
//   PORT               default 3000; 0 takes any free port
//   WORKERS            worker processes, default 2
//   GAMMALOOP_BACKEND  native, node or auto (the default)
import { constants } from 'node:os';
import { serve } from 'gammaloop';
import { createGateway } from './app.mjs';
import { WorkerPool } from './workers.mjs';

/** Requests in flight may take this long after a signal; then they are cut, and their tasks cancelled. */
const DRAIN_MS = 5000;
/** npm passes a Ctrl-C on to a process that got it from the terminal as well: within this time both are the same one. */
const SAME_SIGNAL_MS = 500;

const port = numberFrom('PORT', 3000, 0, 65535);
const size = numberFrom('WORKERS', 2, 1, 64);

function numberFrom(name, usual, low, high) {
  const given = process.env[name] ?? '';
  const value = given === '' ? usual : Number(given);
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  console.error(`${name} must be a whole number from ${low} to ${high}, not '${given}'`);
  process.exit(1);
}

async function start() {
  const pool = await WorkerPool.start(size);
  const gateway = createGateway(pool);
  let server;
  try {
    server = await serve({ fetch: gateway.fetch, port, hostname: '127.0.0.1' });
  } catch (error) {
    await pool.close(); // or the workers would keep this process
    throw error;
  }
  stopOnSignals(async (signal) => {
    gateway.endEvents();
    console.log(`\n${signal}: finishing what is in flight (at most ${DRAIN_MS / 1000} s)`);
    const { drained, cut } = await server.close({ deadline: DRAIN_MS });
    await pool.close();
    console.log(`Stopped: ${drained} in flight finished, ${cut} cut`);
  });
  const pids = pool.counters().workers.map(({ pid }) => pid);
  console.log(`gammaloop gateway: ${server.url}
Backend: ${server.backend}, workers: ${pids.join(', ')}

Open it in a browser, or try
  curl '${server.url}/primes?below=200000'
  curl -N '${server.url}/report?lines=10'
  curl '${server.url}/wait?ms=5000&timeout=500'
  curl -X POST ${server.url}/crash
  curl ${server.url}/counters

Ctrl-C drains and exits, a second one exits at once.`);
}

/** Nothing calls process.exit the first time: when all is closed, nothing is left that keeps the process alive. */
function stopOnSignals(stop) {
  let stoppingSince = null;
  const onSignal = (signal) => {
    const now = performance.now();
    if (stoppingSince === null) {
      stoppingSince = now;
      stop(signal);
    } else if (now - stoppingSince > SAME_SIGNAL_MS) {
      process.exit(128 + constants.signals[signal]);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

try {
  await start();
} catch (error) {
  console.error(error.code === undefined ? error.stack : error.message);
  process.exitCode = 1;
}
