// The poller contract over libuv, whose symbols only the node binary has: an addon runs the native cases in a process of its own.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const addon = fileURLToPath(new URL('../../build/tests/native_tests_uv.node', import.meta.url));

function inChild(expression: string) {
  const script = `process.dlopen(module, ${JSON.stringify(addon)}); const tests = module.exports; ${expression}`;
  return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: 60_000 });
}

describe('the uv poller', () => {
  it('has its test addon (npm run build makes it)', () => {
    expect(existsSync(addon), `${addon} is missing: npm run build`).toBe(true);
  });

  it('has the whole contract registered', () => {
    const names: string[] = JSON.parse(inChild('console.log(JSON.stringify(tests.names()))').stdout);
    expect(names.filter((name) => name.startsWith('uv poller: ')).length).toBeGreaterThanOrEqual(20);
    expect(names.filter((name) => name.startsWith('uv loop hooks: ')).length).toBeGreaterThanOrEqual(3);
  });

  it('passes every case', { timeout: 90_000 }, () => {
    const child = inChild("process.exitCode = tests.run('') === 0 ? 0 : 1");
    expect(child.stderr).toBe('');
    expect(child.stdout).toMatch(/^[1-9]\d* passed, 0 failed\n$/);
    expect(child.status).toBe(0);
    expect(child.signal).toBe(null);
  });
});
