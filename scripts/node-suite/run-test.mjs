// One test in a process group of its own, with a time limit and a folder for its temporary files.
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const keptOutputChars = 16_384;
const running = new Set();
const allTemporary = mkdtempSync(join(tmpdir(), 'node-suite-'));
process.once('exit', () => rmSync(allTemporary, { recursive: true, force: true }));

/** Ends the tests under way, with all that they have started. */
export function killAll() {
  for (const child of running) killGroup(child);
}

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/**
 * @param {import('./find-tests.mjs').NodeTest} test
 * @param {{ node: string, imports: string[], timeoutMs: number, slot: number, serial: number }} how
 *   `slot`: a number that no test running at the same time has; `serial`: one that no other test of this run has
 * @returns {Promise<{ status: 'pass' | 'fail' | 'skip', how: string, ms: number, output: string }>}
 */
export function runTest(test, { node, imports, timeoutMs, slot, serial }) {
  const temporary = join(allTemporary, String(serial));
  mkdirSync(temporary);
  const { NODE_OPTIONS, FORCE_COLOR, NODE_V8_COVERAGE, ...inherited } = process.env;
  const env = {
    ...inherited,
    ...test.env,
    NODE_TEST_DIR: temporary,
    TEST_THREAD_ID: String(slot),
    TEST_SERIAL_ID: String(serial),
    TEST_PARALLEL: '1',
  };
  const args = [...imports.flatMap((url) => ['--import', url]), ...test.flags, test.path];
  const startedAt = performance.now();
  return new Promise((resolve) => {
    // As Node's own runner: from the folder above test/.
    const cwd = join(dirname(test.path), '../..');
    const child = spawn(node, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(child);
    let output = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, timeoutMs);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-keptOutputChars);
      });
    }
    let spawnError = null;
    child.once('error', (error) => {
      spawnError = error;
    });
    // What the test leaves running would hold the pipes open, and 'close' back.
    child.once('exit', () => killGroup(child));
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      rmSync(temporary, { recursive: true, force: true, maxRetries: 3 });
      const ms = Math.round(performance.now() - startedAt);
      if (spawnError) resolve({ status: 'fail', how: spawnError.message, ms, output });
      else resolve({ ...judge({ code, signal, timedOut, timeoutMs, output }), ms, output });
    });
  });
}

function judge({ code, signal, timedOut, timeoutMs, output }) {
  if (timedOut) return { status: 'fail', how: `still running after ${timeoutMs / 1000} s` };
  if (signal) return { status: 'fail', how: signal };
  if (code !== 0) return { status: 'fail', how: `exit code ${code}` };
  const skipped = /^1\.\.0 # skipped:? *(.*)$/im.exec(output);
  return skipped ? { status: 'skip', how: skipped[1] } : { status: 'pass', how: '' };
}
