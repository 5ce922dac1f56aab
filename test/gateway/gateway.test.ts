/** examples/gateway as its users run it: a process, its worker processes, and real sockets. */
import { createServer } from 'node:net';
import { beforeEach, describe, expect, it } from 'vitest';
import { backends } from '../support/backends.js';
import { eventsOf, GatewayProcess, type ReportEvent, startGateway } from './gateway-process.js';

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

describe.each(backends)('the gateway on %s', (backend) => {
  let gateway: GatewayProcess;
  beforeEach(async () => {
    gateway = await startGateway(backend);
  });

  it('gives the reply of a worker, which knew the time that was left, and the trace', async () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c';
    const headers = { traceparent: `00-${traceId}-b7ad6b7169203331-01` };
    const { status, body } = await gateway.get('/primes?below=100000&timeout=5000', { headers });
    expect([status, body['primes'], body['traceId']]).toEqual([200, 9592, traceId]);
    expect(gateway.workers).toContain(body['worker']);
    expect(body['left']).toBeGreaterThan(1000);
    expect(body['left']).toBeLessThanOrEqual(5000);
  });

  it('idle workers take turns', async () => {
    const asked = [];
    for (let i = 0; i < 4; i++) asked.push((await gateway.get('/primes?below=10')).body['worker']);
    expect(new Set(asked)).toEqual(new Set(gateway.workers));
  });

  it('streams a reply part by part', async () => {
    const response = await fetch(`${gateway.url}/report?lines=3&every=1000`);
    expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
    const events: ReportEvent[] = [];
    for await (const event of eventsOf(response)) {
      // The others are not made yet.
      if (events.length === 0) expect((await gateway.counters()).tasks).toMatchObject({ running: 1, finished: 0 });
      events.push(event);
    }
    expect(events.map(({ name, data }) => [name, data['line'], data['primes']])).toEqual([
      ['part', 1, 1229],
      ['part', 2, 2262],
      ['part', 3, 3245],
      ['end', undefined, undefined],
    ]);
    expect(await gateway.idle()).toMatchObject({ requests: { answered: 1 }, tasks: { started: 1, finished: 1 } });
  });

  it('a client that hangs up stops the task of its request, and no other', async () => {
    const controller = new AbortController();
    const staying = gateway.get('/wait?ms=5000');
    const leaving = gateway.get('/wait?ms=60000&timeout=60000', { signal: controller.signal });
    await gateway.countersWhere(({ tasks }) => tasks.running === 2);
    controller.abort();
    await expect(leaving).rejects.toThrow('aborted');
    await gateway.countersWhere(({ tasks }) => tasks.cancelled === 1);
    expect((await staying).status).toBe(200);
    expect(await gateway.idle()).toMatchObject({
      requests: { answered: 1, hungUp: 1 },
      tasks: { started: 2, finished: 1, cancelled: 1 },
      replaced: 0,
    });
    expect(gateway.stderr).toBe('');
  });

  it('a client that hangs up in the middle of a stream stops its task', async () => {
    const controller = new AbortController();
    const response = await fetch(`${gateway.url}/report?lines=1000&every=20`, { signal: controller.signal });
    await expect(async () => {
      for await (const { data } of eventsOf(response)) if (data['line'] === 3) controller.abort();
    }).rejects.toThrow('aborted');
    expect(await gateway.idle()).toMatchObject({
      requests: { hungUp: 1 },
      tasks: { started: 1, finished: 0, cancelled: 1 },
    });
    expect(gateway.stderr).toBe('');
  });

  it('a deadline that passes: 504, and the task stops', async () => {
    const { status, body } = await gateway.get('/wait?ms=60000&timeout=1500');
    expect([status, body['message']]).toEqual([504, expect.stringContaining("'wait'")]);
    const late = await fetch(`${gateway.url}/report?lines=1000&every=100&timeout=1500`);
    const names = [];
    let last: ReportEvent | undefined;
    for await (const event of eventsOf(late)) {
      names.push(event.name);
      last = event;
    }
    expect([names[0], names.at(-1), last?.data['status']]).toEqual(['part', 'failed', 504]);
    expect((await gateway.get('/report?every=10000&timeout=1500')).status).toBe(504);
    expect(await gateway.idle()).toMatchObject({
      requests: { outOfTime: 3 },
      tasks: { started: 3, finished: 0, cancelled: 3 },
    });
    expect(gateway.stderr).toBe('');
  });

  it('a worker that dies fails its requests at once, and no other; another takes its place', async () => {
    const [victim, survivor] = gateway.workers as [number, number];
    const answers: unknown[] = [];
    const all = Array.from({ length: 6 }, async () => {
      const { status, body } = await gateway.get('/wait?ms=5000');
      answers.push([status, body['worker']]);
    });
    const { workers } = await gateway.countersWhere(({ tasks }) => tasks.running === 6);
    expect(workers.map(({ running }) => running)).toEqual([3, 3]);
    process.kill(victim, 'SIGKILL');
    await Promise.all(all);
    const times = (answer: unknown) => Array.from({ length: 3 }, () => answer);
    expect(answers).toEqual([...times([502, undefined]), ...times([200, survivor])]);
    const counters = await gateway.countersWhere(({ workers }) => workers.length === 2);
    const pids = counters.workers.map(({ pid }) => pid);
    expect([pids.includes(victim), pids.includes(survivor)]).toEqual([false, true]);
    for (const _ of pids) expect((await gateway.get('/primes?below=10')).status).toBe(200);
    expect(await gateway.idle()).toMatchObject({
      requests: { broken: 3, answered: 5 },
      tasks: { lost: 3, finished: 5 },
      replaced: 1,
    });
    expect(gateway.stderr).toBe('');
  });

  it('the death of a worker shows in a stream that has begun, and in the answer to one that has not', async () => {
    const small = await startGateway(backend, { WORKERS: '1' });
    const begun = await fetch(`${small.url}/report?lines=1000&every=10`);
    const waiting = small.get('/report?every=10000');
    await small.countersWhere(({ tasks }) => tasks.running === 2);
    const crash = small.get('/crash', { method: 'POST' });
    const events: ReportEvent[] = [];
    for await (const event of eventsOf(begun)) events.push(event);
    expect([events.at(0)?.name, events.at(-1)?.name, events.at(-1)?.data['status']]).toEqual(['part', 'failed', 502]);
    expect([(await waiting).status, (await crash).status]).toEqual([502, 502]);
    expect(await small.countersWhere(({ workers }) => workers.length === 1)).toMatchObject({
      requests: { opened: 3, broken: 3 },
      tasks: { started: 3, lost: 3 },
      replaced: 1,
    });
    expect(small.stderr).toBe('');
  });

  it('without a worker: 503, and soon a new one', async () => {
    const small = await startGateway(backend, { WORKERS: '1' });
    expect((await small.get('/crash', { method: 'POST' })).status).toBe(502);
    const response = await fetch(`${small.url}/wait?ms=0`);
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
    await response.body?.cancel();
    await small.countersWhere(({ workers }) => workers.length === 1);
    expect((await small.get('/wait?ms=0')).status).toBe(200);
  });

  it('SIGTERM: what is in flight is finished, streams of counters end, no process is left', async () => {
    const events = (await fetch(`${gateway.url}/events`)).text();
    const waiting = gateway.get('/wait?ms=2500');
    const report = fetch(`${gateway.url}/report?lines=5&every=500`).then((response) => response.text());
    await gateway.countersWhere(({ tasks }) => tasks.running === 2);
    gateway.kill('SIGTERM');
    expect((await waiting).status).toBe(200);
    expect(await report).toMatch(/event: end\n/);
    expect(await events).toContain('"running":2');
    expect(await gateway.exited).toBe(0);
    expect(gateway.stdout).toMatch(/Stopped: \d in flight finished, 0 cut\n$/);
    expect([gateway.workers.filter(alive), gateway.stderr]).toEqual([[], '']);
  });

  it('SIGTERM: what takes longer than the time for it is cut', async () => {
    const waiting = gateway.get('/wait?ms=60000&timeout=60000');
    waiting.catch(() => {});
    await gateway.countersWhere(({ tasks }) => tasks.running === 1);
    gateway.kill('SIGTERM');
    await expect(waiting).rejects.toThrow();
    expect(await gateway.exited).toBe(0);
    expect(gateway.stdout).toMatch(/Stopped: 0 in flight finished, 1 cut\n$/);
    expect([gateway.workers.filter(alive), gateway.stderr]).toEqual([[], '']);
  });

  it('a gateway that is killed takes its workers along', async () => {
    const waiting = gateway.get('/wait?ms=60000&timeout=60000');
    waiting.catch(() => {});
    await gateway.countersWhere(({ tasks }) => tasks.running === 1);
    gateway.kill('SIGKILL');
    // Their standard output is the gateway's, and `exited` waits until nobody holds that any more.
    expect(await gateway.exited).toBe('SIGKILL');
  });

  it('what is no job, no method of it, or out of range is refused, and reaches no worker', async () => {
    for (const [path, method, status] of [
      ['/nowhere', 'GET', 404],
      ['/__proto__', 'GET', 404],
      ['/wait', 'POST', 405],
      ['/crash', 'GET', 405],
      ['/wait?ms=-1', 'GET', 400],
      ['/wait?ms=60001', 'GET', 400],
      ['/wait?ms=1e3', 'GET', 400],
      ['/report?lines=0', 'GET', 400],
      ['/primes?timeout=x', 'GET', 400],
    ] as const) {
      const answer = await gateway.get(path, { method });
      expect([path, answer.status, answer.body['status']]).toEqual([path, status, status]);
    }
    expect((await gateway.counters()).requests.opened).toBe(0);
  });
});

it('a port that is taken: says so, and leaves no worker behind', async () => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address() as { port: number };
  const gateway = new GatewayProcess('node', { PORT: String(port) });
  expect(await gateway.exited).toBe(1);
  expect(gateway.stderr).toMatch(/EADDRINUSE/);
  taken.close();
});
