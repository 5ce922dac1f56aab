// The demo's routes: a fetch handler, without anything of starting and stopping a server.
import { setTimeout as sleep } from 'node:timers/promises';
import { Response } from 'gammaloop';
import { EventStreams } from './events.mjs';
import { staticFiles } from './static-files.mjs';

export const MAX_SLOW_MS = 30_000;
export const MAX_BLOCK_MS = 10_000;
const DEFAULT_WAIT_MS = 1000;

const READ = ['GET', 'HEAD'];
const NO_STORE = { 'cache-control': 'no-store' };

const WELCOME = `gammaloop demo

/json         a JSON response
/echo         streams the request body back:    curl -d hello URL/echo
/events       server-sent events, one a second: curl -N URL/events
/slow?ms=N    answers after N ms (at most ${MAX_SLOW_MS}); other requests go on
/block?ms=N   blocks the event loop for N ms (at most ${MAX_BLOCK_MS}); other requests wait
/stats        the server's counters
/page         a page that uses all of these, for a browser
`;

/**
 * `stats` gives the server's counters. Returns the handler, and `endEvents` for the time of stopping: it ends the open event streams and
 * says how many there were.
 */
export function createDemo({ stats }) {
  const events = new EventStreams(() => ({ time: new Date().toISOString(), stats: stats() }));
  const routes = new Map([
    ['/', { methods: READ, handle: welcome }],
    [
      '/json',
      { methods: READ, handle: () => json({ hello: 'world', backend: stats().backend, node: process.version }) },
    ],
    ['/echo', { methods: null, handle: echo }],
    ['/events', { methods: READ, handle: () => events.open() }],
    ['/slow', { methods: READ, handle: slow }],
    ['/block', { methods: READ, handle: block }],
    ['/stats', { methods: READ, handle: () => json(stats()) }],
  ]);
  for (const [path, { type, bytes }] of staticFiles) {
    // no-cache: a browser asks again each time, so that an edited page shows after a restart.
    const headers = { 'content-type': type, 'cache-control': 'no-cache', 'x-content-type-options': 'nosniff' };
    routes.set(path, { methods: READ, handle: () => new Response(bytes, { headers }) });
  }

  function fetch(request) {
    const url = new URL(request.url);
    const route = routes.get(url.pathname);
    if (route === undefined) {
      return text(`Nothing is at ${url.pathname}; / lists what is there\n`, 404);
    }
    if (route.methods !== null && !route.methods.includes(request.method)) {
      const allow = route.methods.join(', ');
      return text(`${url.pathname} takes ${allow}, not ${request.method}\n`, 405, { allow });
    }
    return route.handle(request, url);
  }

  return { fetch, endEvents: () => events.end() };
}

/** Text; a browser, which asks for HTML by name, goes on to the page. */
function welcome(request) {
  const headers = { vary: 'accept', ...NO_STORE };
  if ((request.headers.get('accept') ?? '').includes('text/html')) {
    return new Response(null, { status: 302, headers: { location: '/page', ...headers } });
  }
  return text(WELCOME.replaceAll('URL', new URL(request.url).origin), 200, headers);
}

/** The request's body is the response's: each chunk goes out as it comes in, and no faster than the client reads. */
function echo(request) {
  if (request.body === null && READ.includes(request.method)) {
    return text(`Send a body to get it back: curl -d hello ${request.url}\n`);
  }
  const type = request.headers.get('content-type') ?? 'application/octet-stream';
  return new Response(request.body, {
    headers: { 'content-type': type, 'x-content-type-options': 'nosniff', ...NO_STORE },
  });
}

/** The wait ends early where the client goes: request.signal aborts. */
async function slow(request, url) {
  const ms = durationOf(url, MAX_SLOW_MS);
  if (ms === null) {
    return badDuration(MAX_SLOW_MS);
  }
  const { signal } = request;
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) {
      throw error;
    }
    return text('Cancelled\n', 503); // hardly anyone is there to read it
  }
  return text(`Waited ${ms} ms\n`, 200, NO_STORE);
}

/** What a handler should never do: meanwhile nothing else runs in this thread. */
function block(_request, url) {
  const ms = durationOf(url, MAX_BLOCK_MS);
  if (ms === null) {
    return badDuration(MAX_BLOCK_MS);
  }
  const end = performance.now() + ms;
  while (performance.now() < end);
  return text(`Blocked the event loop for ${ms} ms\n`, 200, NO_STORE);
}

/** ?ms= as a number from 0 to `max`, or null. */
function durationOf(url, max) {
  const given = url.searchParams.get('ms');
  if (given === null) {
    return DEFAULT_WAIT_MS;
  }
  return /^\d{1,6}$/.test(given) && Number(given) <= max ? Number(given) : null;
}

function badDuration(max) {
  return text(`ms must be a whole number from 0 to ${max}\n`, 400);
}

function text(body, status = 200, headers = {}) {
  return new Response(body, { status, headers: { 'content-type': 'text/plain; charset=utf-8', ...headers } });
}

function json(value) {
  const headers = { 'content-type': 'application/json', ...NO_STORE };
  return new Response(`${JSON.stringify(value, null, 2)}\n`, { headers });
}
