// One run of a project's tests, in a process group of its own, and what became of each test.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const timeLimitMs = 15 * 60_000;
const keptOutputChars = 8_192;
let running = null;

/** Ends the run under way, with all that it has started. */
export function killRunning() {
  if (running) killGroup(running);
}

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** @returns {Promise<{ tests: Map<string, { status: string, error?: string }>, seconds: number, ended: string, output: string }>} */
export function runSuite(project, cwd, { node, register }) {
  const results = join(cwd, '.suite-results');
  rmSync(results, { force: true });
  const nodeOptions = [register ? `--import ${register}` : '', project.nodeOptions ?? ''].join(' ').trim();
  const env = { ...process.env, SUITE_RESULTS: results, NODE_OPTIONS: nodeOptions };
  const startedAt = performance.now();
  return new Promise((resolve) => {
    const child = spawn(node, project.args({ cwd, results }), {
      cwd,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running = child;
    let output = '';
    let ended = '';
    const timer = setTimeout(() => {
      ended = `still running after ${timeLimitMs / 60_000} minutes`;
      killGroup(child);
    }, timeLimitMs);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-keptOutputChars);
      });
    }
    child.once('error', (error) => {
      ended = error.message;
    });
    child.once('exit', () => killGroup(child));
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      running = null;
      ended ||= signal ?? `exit code ${code}`;
      const seconds = Math.round((performance.now() - startedAt) / 1000);
      resolve({ tests: readResults(results), seconds, ended, output });
    });
  });
}

/** Tests of one name are told apart by a number. */
function readResults(path) {
  const tests = new Map();
  const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
  for (const { name, status, error } of text.startsWith('{"num') ? vitestResults(text) : jsonLines(text)) {
    let key = name;
    for (let nth = 2; tests.has(key); nth++) key = `${name} #${nth}`;
    tests.set(key, { status, error });
  }
  return tests;
}

function jsonLines(text) {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function vitestResults(text) {
  const statuses = { passed: 'pass', failed: 'fail' };
  return JSON.parse(text).testResults.flatMap((file) => {
    if (file.assertionResults.length === 0 && file.status === 'failed')
      return [{ name: file.name, status: 'fail', error: file.message }];
    return file.assertionResults.map((test) => ({
      name: test.fullName,
      status: statuses[test.status] ?? 'skip',
      error: test.failureMessages?.join('\n'),
    }));
  });
}
