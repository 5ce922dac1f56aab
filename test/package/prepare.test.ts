/** What `npm ci` runs in a clone, on a machine without make and a compiler, and where the addon's build fails. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cloneSources } from './clone.js';
import { cleanEnvironment } from './nodes.js';

const exec = promisify(execFile);
const timeout = 120_000;

let scratch: string;
let clone: string;
let toolless: string;

beforeAll(async () => {
  scratch = await realpath(await mkdtemp(join(tmpdir(), 'gammaloop-prepare-')));
  clone = join(scratch, 'clone');
  await cloneSources(clone);
  toolless = join(scratch, 'bin');
  await mkdir(toolless);
  await symlink(process.execPath, join(toolless, 'node'));
}, timeout);

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

async function prepare(env: Record<string, string>): Promise<{ lines: string[]; log: string }> {
  const { stdout } = await exec(process.execPath, ['scripts/prepare.mjs'], { cwd: clone, env: cleanEnvironment(env) });
  return {
    lines: stdout.trim().split('\n'),
    log: await readFile(join(clone, '.cache/build-native.log'), 'utf8'),
  };
}

async function backendThatServes(): Promise<string> {
  const program = `
    const { serve } = await import(${JSON.stringify(pathToFileURL(join(clone, 'dist/index.js')).href)});
    const server = await serve({ fetch: () => new Response('ok'), port: 0, hostname: '127.0.0.1' });
    const response = await fetch(server.url, { headers: { connection: 'close' } });
    console.log(server.stats().backend + ' ' + (await response.text()));
    await server.close({ deadline: 5000 });`;
  const args = ['--input-type=module', '-e', program];
  const { stdout } = await exec(process.execPath, args, { env: cleanEnvironment({ GAMMALOOP_BACKEND: '' }) });
  return stdout.trim();
}

describe('scripts/prepare.mjs', () => {
  test('without make and a compiler: succeeds, says why in one line, and the node backend serves', {
    timeout,
  }, async () => {
    const { lines, log } = await prepare({ PATH: toolless, CXX: '', MAKE: '', PYTHON: '', npm_config_python: '' });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /the `node` backend will serve \(not found: \w*make, \S+\+\+, python3; log: \.cache\/build-native\.log\)$/,
    );
    expect(log).toContain(`PATH=${toolless}`);
    expect(await backendThatServes()).toBe('node ok');
  });

  test('where the build fails: the same, with the compiler’s first error, and no stale binary stays', {
    timeout,
  }, async () => {
    const stale = join(clone, 'build/Release/gammaloop.node');
    await mkdir(join(clone, 'build/Release'), { recursive: true });
    await writeFile(stale, 'from an earlier build');
    await writeFile(join(clone, 'native/addon/addon.cc'), '#error broken on purpose\n');
    const { lines, log } = await prepare({});
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /the `node` backend will serve \(.*broken on purpose.*; log: \.cache\/build-native\.log\)$/,
    );
    expect(log).toContain('broken on purpose');
    expect(existsSync(stale)).toBe(false);
    expect(await backendThatServes()).toBe('node ok');
  });
});
