// The demo server, as `npm start` runs it: reads its settings from the environment, starts, and stops on Ctrl-C. The routes are in app.mjs.
//
//   PORT               default 3000; 0 takes any free port
//   HOST               default 127.0.0.1; 0.0.0.0 or :: to be reached from other machines
//   GAMMALOOP_BACKEND  native, node or auto (the default)
import { constants } from 'node:os';
import { serve } from 'gammaloop';
import { createDemo } from './app.mjs';

/** Requests in flight may take this long after Ctrl-C; then they are cut. */
const DRAIN_MS = 5000;
/** npm passes a Ctrl-C on to a process that got it from the terminal as well: within this time both are the same one. */
const SAME_SIGNAL_MS = 500;

const { PORT = '', HOST = '' } = process.env;
const port = PORT === '' ? 3000 : Number(PORT);
const hostname = HOST === '' ? '127.0.0.1' : HOST;

async function start() {
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    throw Object.assign(new Error(`PORT must be a whole number from 0 to 65535, not '${PORT}'`), { code: 'ERR_PORT' });
  }
  const demo = createDemo({ stats: () => server.stats() });
  const server = await serve({
    fetch: demo.fetch,
    port,
    hostname,
    limits: { bodyBytes: 0 }, // /echo keeps nothing in memory, so that any length will do
  });
  stopOnSignals(server, demo);
  const { poller } = server.stats();
  console.log(banner(server.url, poller === '' ? server.backend : `${server.backend} (${poller})`));
}

function banner(url, backend) {
  return `gammaloop demo: ${url}
Backend: ${backend}, Node.js ${process.version}

Try in a browser:
  ${url}/page
or in another terminal:
  curl ${url}/json
  curl -d hello ${url}/echo
  curl -N ${url}/events
  curl '${url}/slow?ms=1000'
  curl '${url}/block?ms=1000'
  curl ${url}/stats

Ctrl-C drains and exits, a second one exits at once.`;
}

function stopOnSignals(server, demo) {
  let stoppingSince = null;
  const onSignal = (signal) => {
    const now = performance.now();
    if (stoppingSince === null) {
      stoppingSince = now;
      stop(server, demo, signal);
    } else if (now - stoppingSince > SAME_SIGNAL_MS) {
      console.log(`\n${signal} again: exiting at once`);
      process.exit(128 + constants.signals[signal]);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

/** Nothing calls process.exit here: once the server is closed, nothing is left that keeps the process alive. */
async function stop(server, demo, signal) {
  const { active } = server.stats().requests;
  const streams = demo.endEvents(); // they would never end by themselves
  const waiting = active - streams;
  const what = waiting === 1 ? '1 request' : `${waiting} requests`;
  console.log(`\n${signal}: draining ${what} (at most ${DRAIN_MS / 1000} s), ending event streams: ${streams}`);
  const { drained, cut } = await server.close({ deadline: DRAIN_MS });
  console.log(`Stopped: ${drained} in flight finished, ${cut} cut`);
}

function explain(error) {
  if (error.code === 'EADDRINUSE') {
    const other = port === 65535 ? 3001 : port + 1;
    return `Port ${port} is in use. Choose another one: PORT=${other} npm start (PORT=0: any free port)`;
  }
  return error.code === undefined ? error.stack : error.message;
}

// A terminal or pipe that has gone must not keep requests from being drained.
process.stdout.on('error', () => {});

try {
  await start();
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}
