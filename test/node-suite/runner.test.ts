/** scripts/node-suite.mjs on a small test folder of its own, with a hook that breaks some of what is in it. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/node-suite.mjs', import.meta.url));
const server = `require('http').createServer();\n`;

/** A test of each kind. The hook sets \`hooked\`. */
const tests: Record<string, string> = {
  'test-http-server-good.js': server,
  'test-http-server-broken.js': `${server}if (globalThis.hooked) throw new Error('the hook breaks this');`,
  'test-http-server-second-time.js': `${server}const fs = require('fs');
    if (globalThis.hooked && !fs.existsSync(__filename + '.seen')) {
      fs.writeFileSync(__filename + '.seen', '');
      throw new Error('not the first time');
    }`,
  // What it starts holds its pipes, and must end with it.
  'test-http-server-endless.js': `${server}if (globalThis.hooked) {
      require('child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'inherit' });
      setInterval(() => {}, 1000);
    }`,
  'test-http-client-good.mjs': `import 'node:http';`,
  'test-https-client-skipped.js': `console.log('1..0 # Skipped: no such thing here');`,
  'test-net-needs.js': `// Flags: --expose-gc\n// Env: SUITE_TEST=a SUITE_OTHER=b
    const { NODE_TEST_DIR, SUITE_TEST, SUITE_OTHER, TEST_THREAD_ID } = process.env;
    if (typeof gc !== 'function' || SUITE_TEST + SUITE_OTHER !== 'ab' || !TEST_THREAD_ID) process.exit(2);
    require('fs').writeFileSync(NODE_TEST_DIR + '/file', '');`,
  'test-net-always-fails.js': `process.exit(3);`,
  // In the list of what does not apply.
  'test-http-server-keepalive-end.js': `throw new Error('must not run');`,
  'test-dns-not-ours.js': `throw new Error('must not run');`,
};

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'node-suite-test-'));
  mkdirSync(join(directory, 'test/parallel'), { recursive: true });
  mkdirSync(join(directory, 'test/common'));
  writeFileSync(join(directory, 'register.mjs'), 'globalThis.hooked = true;');
  for (const [file, source] of Object.entries(tests)) writeFileSync(join(directory, 'test/parallel', file), source);
});
afterAll(() => {
  rmSync(directory, { recursive: true });
});

interface Run {
  code: number;
  stdout: string;
  stderr: string;
}

function run(...args: string[]): Promise<Run> {
  const given = ['--tests', join(directory, 'test'), '--register', join(directory, 'register.mjs'), ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...given], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

describe('npm run test:node-suite', () => {
  test('tells what passes plain from what passes hooked', async () => {
    const json = join(directory, 'results.json');
    const { code, stdout } = await run('--timeout', '2', '--json', json);
    expect(code).toBe(1);
    expect(stdout).toContain('8 tests; 1 more do not apply');
    expect(stdout).toContain('plain: 6 pass, 1 fail, 1 skip');
    expect(stdout).toContain('hooked: 3 pass, 4 fail, 1 skip');
    expect(stdout).toContain('test-net-always-fails: exit code 3');
    expect(stdout).toContain('test-https-client-skipped: no such thing here');
    expect(stdout).toMatch(/Flaky[^\n]*\(1\)\n {2}test-http-server-second-time: .*hooked, then pass/);
    expect(stdout).toMatch(/fail with the hook \(2\)\n/);
    expect(stdout).toMatch(/test-http-server-broken \[server\]: fail, exit code 1\n[\s\S]*Error: the hook breaks this/);
    expect(stdout).toContain('test-http-server-endless [server]: fail, still running after 2 s');
    expect(stdout).toContain('http and https, with a server: 2 of 4, 50.0 %');
    expect(stdout).toContain('http and https, client only: 1 of 1, 100.0 %');
    expect(stdout).toContain('net: 1 of 1, 100.0 %');
    const { groups, tests: results } = JSON.parse(readFileSync(json, 'utf8'));
    expect(groups[0]).toMatchObject({ regressions: ['test-http-server-broken', 'test-http-server-endless'] });
    expect(results).toHaveLength(8);

    const again = await run('--only', 'hooked', '--baseline', json, '--filter', 'good|broken');
    expect(again.code).toBe(1);
    expect(again.stdout).not.toContain('plain: ');
    expect(again.stdout).toContain('http and https, with a server: 1 of 2, 50.0 %');
  });

  test('ends well where the goal is reached', async () => {
    const { code, stdout } = await run('--filter', 'good|needs');
    expect(stdout).toMatch(/Reached\n$/);
    expect(code).toBe(0);
  });

  test('says what is wrong with its arguments', async () => {
    expect(await run('--filter', 'no-such-test')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('matches'),
    });
    const elsewhere = await run('--tests', directory);
    expect(elsewhere).toMatchObject({ code: 1, stderr: expect.stringContaining("not Node's test folder") });
    expect(await run('--node', '/no/node')).toMatchObject({ code: 1, stderr: expect.stringContaining('/no/node') });
    expect(await run('--jobs', '0')).toMatchObject({ code: 1, stderr: expect.stringContaining('--jobs 0') });
  });
});
