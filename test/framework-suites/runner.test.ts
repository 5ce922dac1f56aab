/** scripts/framework-suites.mjs on a stand-in for one project's source: a folder with tests of node:test and no packages to install. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/framework-suites.mjs', import.meta.url));

const source = `
const test = require('node:test');
const fs = require('node:fs');
test('good', () => {});
test('bad', () => { throw new Error('always'); });
test('left out', { skip: true }, () => {});
test('broken', () => { if (globalThis.hooked) throw new Error('the hook breaks this'); });
test('second time', () => {
  if (!globalThis.hooked || fs.existsSync('seen')) return;
  fs.writeFileSync('seen', '');
  throw new Error('not the first time');
});
`;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'framework-suites-test-'));
  mkdirSync(join(directory, 'source/fastify/test'), { recursive: true });
  writeFileSync(join(directory, 'register.mjs'), 'globalThis.hooked = true;');
  writeFileSync(join(directory, 'source/fastify/package.json'), '{ "name": "stand-in", "version": "1.0.0" }');
  writeFileSync(join(directory, 'source/fastify/test/one.test.js'), source);
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const at = (name: string) => join(directory, name);
  const places = ['--source', at('source'), '--work', at('work'), '--register', at('register.mjs')];
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...places, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

test('tells what passes plain and fails hooked, twice', async () => {
  const json = join(directory, 'results.json');
  const { code, stdout } = await run('--only', 'fastify', '--json', json);
  expect(stdout).toMatch(/fastify v\S+, plain: 3 pass, 1 fail, 1 skip/);
  expect(stdout).toMatch(/fastify v\S+, hooked: 1 pass, 3 fail, 1 skip/);
  expect(stdout).toMatch(/fastify v\S+, hooked: 2 pass, 2 fail, 1 skip/);
  expect(stdout).toContain('flaky, failed once hooked: one.test.js: second time');
  expect(stdout).toMatch(/passes plain, fails hooked: one\.test\.js: broken\n\s+Error: the hook breaks this/);
  expect(code).toBe(1);
  expect(JSON.parse(readFileSync(json, 'utf8'))).toMatchObject([
    { name: 'fastify', plain: { pass: 3 }, regressions: [{ name: 'one.test.js: broken' }] },
  ]);
});

test('says what is wrong with its arguments', async () => {
  expect(await run('--only', 'sails')).toMatchObject({ code: 1, stderr: expect.stringContaining('--only sails') });
  const missing = await run('--only', 'on-headers');
  expect(missing).toMatchObject({ code: 1, stdout: expect.stringContaining('on-headers v1.1.0: could not be run') });
});
