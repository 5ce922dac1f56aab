// The gateway's routes: each job is asked of a worker process, with the time that is left and the client's signal.
import { readFileSync } from 'node:fs';
import { Response } from 'gammaloop';
import { LiveCounters } from './live-counters.mjs';
import { NoWorkerError } from './workers.mjs';

const PAGE = readFileSync(new URL('page.html', import.meta.url));
const NO_STORE = { 'cache-control': 'no-store' };
const MAX_MS = 60_000;
/** What a job is given unless ?timeout= says otherwise. */
const TIMEOUT_MS = 10_000;
const REPORT_TIMEOUT_MS = MAX_MS;

/** Fields of the query: lowest, highest, default. */
const TIMEOUT = [1, MAX_MS, TIMEOUT_MS];
const JOBS = {
  '/primes': { method: 'GET', fields: { below: [2, 2_000_000, 200_000], timeout: TIMEOUT }, answer: oneReply },
  '/wait': { method: 'GET', fields: { ms: [0, MAX_MS, 1000], timeout: TIMEOUT }, answer: oneReply },
  '/report': {
    method: 'GET',
    fields: { lines: [1, 1000, 10], every: [0, 10_000, 300], timeout: [1, MAX_MS, REPORT_TIMEOUT_MS] },
    answer: streamedReply,
  },
  '/crash': { method: 'POST', fields: { timeout: TIMEOUT }, answer: oneReply },
};

/** Returns the handler, and `endEvents` for the time of stopping: streams of counters never end by themselves. */
export function createGateway(pool) {
  const live = new LiveCounters(() => JSON.stringify(pool.counters()));
  const pages = {
    '/': () =>
      new Response(PAGE, { headers: { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache' } }),
    '/events': () => live.open(),
    '/counters': () => Response.json(pool.counters(), { headers: NO_STORE }),
  };

  async function fetch(request, ctx) {
    const url = new URL(request.url);
    const job = Object.hasOwn(JOBS, url.pathname) ? JOBS[url.pathname] : null;
    const page = Object.hasOwn(pages, url.pathname) ? pages[url.pathname] : null;
    if (job === null && page === null) {
      return problem(404, `Nothing is at ${url.pathname}`);
    }
    const { method } = job ?? { method: 'GET' };
    if (request.method !== method) {
      return problem(405, `${url.pathname} takes ${method}`, { allow: method });
    }
    return job === null ? page() : run(url, job, ctx);
  }

  async function run(url, job, ctx) {
    const { timeout, ...payload } = readFields(url, job.fields);
    if (Object.values(payload).includes(null) || timeout === null) {
      const wanted = Object.entries(job.fields).map(([name, [low, high]]) => `${name} (${low} to ${high})`);
      return problem(400, `${url.pathname} takes whole numbers: ${wanted.join(', ')}`);
    }
    const options = { timeout, signal: ctx.signal, traceparent: ctx.traceparent };
    try {
      return await job.answer(pool, url.pathname.slice(1), payload, options);
    } catch (error) {
      const status = statusOf(error);
      // A client that has gone, or a mistake: that is for the server.
      if (status === null) throw error;
      return problem(status, error.message, status === 503 ? { 'retry-after': '1' } : {});
    }
  }

  return { fetch, endEvents: () => live.end() };
}

async function oneReply(pool, subject, payload, options) {
  return Response.json(await pool.request(subject, payload, options), { headers: NO_STORE });
}

/** Server-sent events, as fast as the client reads. What fails before the first one still has a status of its own. */
async function streamedReply(pool, subject, payload, options) {
  const parts = pool.stream(subject, payload, options);
  const first = await parts.next();
  return new Response(eventsOf(parts, first), { headers: { 'content-type': 'text/event-stream', ...NO_STORE } });
}

async function* eventsOf(parts, first) {
  try {
    for (let part = first; !part.done; part = await parts.next()) yield event('part', part.value);
    yield event('end', {});
  } catch (error) {
    const status = statusOf(error);
    if (status === null) throw error;
    yield event('failed', { status, message: error.message });
  } finally {
    await parts.return();
  }
}

function event(name, data) {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** By codes, not by messages. Null where the answer is not for the gateway to give. */
function statusOf(error) {
  if (error instanceof NoWorkerError) return 503;
  switch (error.code) {
    case 'ERR_GAMMALOOP_TOO_MANY_WAITERS':
    case 'ERR_GAMMALOOP_RESPONDER_BUSY':
      return 503;
    case 'ERR_GAMMALOOP_BROKEN':
    case 'ERR_GAMMALOOP_RESPONDER_CLOSED':
      return 502;
    case 'ERR_GAMMALOOP_TIMEOUT':
      return 504;
    default:
      return null;
  }
}

/** Null for a field that is no whole number in its range. */
function readFields(url, fields) {
  const values = Object.entries(fields).map(([name, [low, high, usual]]) => {
    const given = url.searchParams.get(name);
    if (given === null) return [name, usual];
    const value = /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN;
    return [name, value >= low && value <= high ? value : null];
  });
  return Object.fromEntries(values);
}

function problem(status, message, headers = {}) {
  return Response.json({ status, message }, { status, headers: { ...NO_STORE, ...headers } });
}
