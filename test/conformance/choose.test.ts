import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { backends } from '../support/backends.js';
import { childArgs } from '../support/child.js';

const run = promisify(execFile);

/** node-gyp-build looks for a prebuilt binary only, of an architecture that nobody has. */
const WITHOUT_ADDON = { PREBUILDS_ONLY: '1', npm_config_arch: 'pdp11', GAMMALOOP_BACKEND: '' };
const START = "await serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('ok'), ...options })";
const TWICE = `
  for (let i = 0; i < 2; i++) {
    const options = {};
    const server = ${START};
    console.log(server.backend, await (await fetch(server.url)).text());
    await server.close({ deadline: 0 });
  }`;

async function child(code: string, env: Record<string, string>): Promise<{ out: string[]; err: string[] }> {
  const { stdout, stderr } = await run(process.execPath, childArgs(code), {
    env: { ...process.env, ...env },
    timeout: 15_000,
  });
  const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');
  return { out: lines(stdout), err: lines(stderr) };
}

describe('the choice of backend', () => {
  it('without the addon: node serves, and one line says so once', async () => {
    const { out, err } = await child(TWICE, WITHOUT_ADDON);
    expect(out).toEqual(['node ok', 'node ok']);
    expect(err).toHaveLength(1);
    expect(err[0]).toMatch(/^gammaloop: serving on the 'node' backend\. .*To fix: /);
  });

  it("without the addon: backend 'native' rejects, and says what was tried and what to do", async () => {
    const { out, err } = await child(
      `
      const options = { backend: 'native' };
      try { ${START}; } catch (error) {
        console.log(JSON.stringify([error.name, error.code, error.platform, error.arch, error.tried.length > 0, error.fix]));
      }`,
      WITHOUT_ADDON,
    );
    expect(JSON.parse(out[0] as string)).toEqual([
      'AddonMissingError',
      'ERR_GAMMALOOP_ADDON_MISSING',
      process.platform,
      process.arch,
      true,
      expect.stringContaining('npm run build'),
    ]);
    expect(err).toEqual([]);
  });

  it("backend 'node' and GAMMALOOP_BACKEND=node never load the addon, and say nothing", async () => {
    const loaded = "console.log(process.report.getReport().sharedObjects.some((path) => path.includes('gammaloop')));";
    expect(
      await child(`const options = { backend: 'node' }; const server = ${START}; await server.close(); ${loaded}`, {}),
    ).toEqual({ out: ['false'], err: [] });
    expect(await child(`${TWICE} ${loaded}`, { GAMMALOOP_BACKEND: 'node' })).toEqual({
      out: ['node ok', 'node ok', 'false'],
      err: [],
    });
  });

  it('on a foreign runtime node is taken before the addon is touched, without a word', async () => {
    const { out, err } = await child(
      `globalThis.Deno = {}; ${TWICE}
      console.log(process.report.getReport().sharedObjects.some((path) => path.includes('gammaloop')));`,
      { GAMMALOOP_BACKEND: '' },
    );
    expect(out).toEqual(['node ok', 'node ok', 'false']);
    expect(err).toEqual([]);
  });

  it('the option comes before GAMMALOOP_BACKEND', async () => {
    const { out } = await child(
      `const options = { backend: 'node' }; const server = ${START}; console.log(server.backend); await server.close();`,
      { GAMMALOOP_BACKEND: 'native' },
    );
    expect(out).toEqual(['node']);
  });

  it.runIf(backends.includes('native'))('with the addon: native, without a word', async () => {
    expect(await child(TWICE, { GAMMALOOP_BACKEND: '' })).toEqual({ out: ['native ok', 'native ok'], err: [] });
  });

  it.runIf(backends.includes('native'))(
    'GAMMALOOP_POLLER=uv: the engine on libuv, and the process ends by itself',
    async () => {
      const code = `
      const options = { fetch: async (request) => new Response(request.body) };
      const server = ${START};
      const sent = 'x'.repeat(300_000);
      const answers = await Promise.all(Array.from({ length: 20 }, async () => {
        const response = await fetch(server.url, { method: 'POST', body: sent });
        return (await response.text()) === sent;
      }));
      console.log(server.stats().poller, answers.every(Boolean));
      await server.close();`;
      expect(await child(code, { GAMMALOOP_BACKEND: 'native', GAMMALOOP_POLLER: 'uv' })).toEqual({
        out: ['uv true'],
        err: [],
      });
    },
  );

  it.runIf(backends.includes('native'))(
    'a poller that does not exist, here or at all, is refused by name',
    async () => {
      const absent = process.platform === 'linux' ? 'kqueue' : 'epoll';
      for (const poller of [absent, 'select']) {
        const { out } = await child(
          `const options = {}; try { ${START}; } catch (error) { console.log(error.code, error.option); }`,
          { GAMMALOOP_BACKEND: 'native', GAMMALOOP_POLLER: poller },
        );
        expect(out).toEqual(['ERR_GAMMALOOP_OPTION GAMMALOOP_POLLER (environment)']);
      }
    },
  );
});
