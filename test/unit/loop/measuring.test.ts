/** loop.startMeasuring, and what loop.stats() tells of it. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { type EnginePhases, loop, Response, serve } from '../../../lib/index.js';
import { backends } from '../../support/backends.js';

const run = promisify(execFile);
const libraryUrl = new URL('../../../lib/index.ts', import.meta.url).href;
const loader = fileURLToPath(new URL('../../support/ts-loader.mjs', import.meta.url));
const hasNative = backends.includes('native');

/** What a program of its own prints: no engine has been there before it. */
async function output(code: string): Promise<string> {
  const program = `import { loop, serve, Response } from ${JSON.stringify(libraryUrl)};\n${code}`;
  const args = ['--import', loader, '--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, args, { timeout: 15_000 });
  return stdout.trim();
}

afterEach(() => {
  loop.stopMeasuring();
});

function spin(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

function phases(): EnginePhases {
  const { engine } = loop.stats().phases ?? {};
  if (engine === null || engine === undefined) throw new Error('no phases of the engine');
  return engine;
}

test('lag and phases while they are measured', async () => {
  expect(loop.stats()).toMatchObject({ lag: null, phases: null });
  loop.startMeasuring({ lagResolution: 5 });
  // Looked at until the delay has been seen: the histogram counts in turns of its own.
  for (let late = 0; late < 40; ) {
    await new Promise((resolve) => setTimeout(resolve, 12));
    const end = performance.now() + 60;
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 12));
    late = loop.stats().lag?.max ?? 0;
  }
  const { lag, phases } = loop.stats();
  expect(lag?.resolution).toBe(5);
  expect(lag?.count).toBeGreaterThan(0);
  expect(lag?.p99).toBeLessThanOrEqual((lag?.max ?? 0) + 1);
  expect(lag?.percentiles.at(-1)?.[0]).toBe(100);
  expect(phases?.active).toBeGreaterThan(55);
  expect(phases?.idle).toBeGreaterThan(0);
  expect(loop.stopMeasuring()).toBe(true);
  expect(loop.stats()).toMatchObject({ lag: null, phases: null });
  expect(loop.stopMeasuring()).toBe(false);
});

test.runIf(hasNative)('what the engine has told, and in how many calls', async () => {
  const before = loop.stats().batches;
  const server = await serve({ backend: 'native', port: 0, fetch: () => new Response('hello') });
  for (let i = 0; i < 3; i++) expect(await (await fetch(server.url)).text()).toBe('hello');
  await server.close();
  const { count, completions, largest } = loop.stats().batches;
  expect(completions - before.completions).toBeGreaterThanOrEqual(4); // three requests, and the server's end
  expect(count).toBeGreaterThan(before.count);
  expect(completions).toBeGreaterThanOrEqual(count);
  expect(largest).toBeGreaterThanOrEqual(1);
});

test.runIf(hasNative)("the engine's phases: what runs in a handler is dispatch", async () => {
  let within = 0;
  const server = await serve({
    backend: 'native',
    port: 0,
    fetch: async () => {
      const before = phases();
      spin(20);
      within = phases().dispatch - before.dispatch;
      await null;
      spin(20);
      return new Response('hello');
    },
  });
  loop.startMeasuring();
  for (let i = 0; i < 3; i++) await (await fetch(server.url)).text();
  spin(30); // in no phase of the engine
  const engine = phases();
  const { active, idle } = loop.stats().phases ?? { active: 0, idle: 0 };
  await server.close();
  expect(within).toBeGreaterThanOrEqual(20);
  expect(engine.dispatch).toBeGreaterThanOrEqual(120);
  expect(engine.turns).toBeGreaterThanOrEqual(3);
  for (const phase of ['poll', 'read', 'write'] as const) expect(engine[phase], phase).toBeGreaterThan(0);
  const sum = engine.poll + engine.read + engine.timers + engine.dispatch + engine.write;
  expect(sum).toBeLessThanOrEqual(active - 25);
  expect(idle).toBeGreaterThanOrEqual(0);
});

test.runIf(hasNative)("the engine's phases: large bodies, in and out; begun anew", async () => {
  const bytes = 32 * 1024 * 1024;
  const server = await serve({
    backend: 'native',
    port: 0,
    limits: { bodyBytes: bytes },
    fetch: async (request) =>
      new Response(request.method === 'POST' ? `${(await request.arrayBuffer()).byteLength}` : Buffer.alloc(bytes)),
  });
  // A busy machine may stop the process in any of the phases: once more then.
  const upload = async () => {
    loop.startMeasuring();
    expect(phases()).toEqual({ turns: 0, poll: 0, read: 0, timers: 0, dispatch: 0, write: 0 });
    expect(await (await fetch(server.url, { method: 'POST', body: Buffer.alloc(bytes) })).text()).toBe(`${bytes}`);
    const { read, write } = phases();
    return read / write;
  };
  const download = async () => {
    loop.startMeasuring();
    expect((await (await fetch(server.url)).arrayBuffer()).byteLength).toBe(bytes);
    const { read, write } = phases();
    return write / read;
  };
  await expect.poll(upload, { timeout: 8_000 }).toBeGreaterThan(1);
  await expect.poll(download, { timeout: 8_000 }).toBeGreaterThan(1);
  await server.close();
});

test.runIf(hasNative)("the engine's phases: of an engine that is made while they are measured", async () => {
  const program = `
    loop.startMeasuring();
    const before = loop.stats().phases.engine;
    const server = await serve({ backend: 'native', port: 0, fetch: () => new Response('hello') });
    await (await fetch(server.url)).text();
    const { turns, dispatch } = loop.stats().phases.engine;
    await server.close();
    console.log(before, turns > 0, dispatch > 0);
    loop.stopMeasuring();
    process.exit();`;
  expect(await output(program)).toBe('null true true');
});

test("the engine's phases: null on the backend 'node'", async () => {
  const program = `
    loop.startMeasuring();
    const server = await serve({ backend: 'node', port: 0, fetch: () => new Response('hello') });
    await (await fetch(server.url)).text();
    await server.close();
    const { active, engine } = loop.stats().phases;
    console.log(active > 0, engine);
    process.exit();`;
  expect(await output(program)).toBe('true null');
});
