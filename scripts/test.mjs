// All tests with one command: brings the build up to date, then vitest (unit, conformance, architecture, package) and the native tests, which are
// compiled meanwhile.
// Ends with `N passed, N failed`, the sum of both. With arguments (npm test -- keep-alive) only vitest runs, and gets them.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { root } from './node-headers.mjs';

const require = createRequire(import.meta.url);
const reportPath = join(root, '.cache/vitest.json');
const filters = process.argv.slice(2);

/** Runs a node script, showing what it prints; resolves with its exit code and output. */
function run(args) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['inherit', 'pipe', 'inherit'] });
    let output = '';
    child.stdout.on('data', (chunk) => {
      output += chunk;
      process.stdout.write(chunk);
    });
    child.once('error', fail);
    child.once('close', (code, signal) => done({ code: signal ?? code, output }));
  });
}

/** At the lowest priority, so that no test waits for the compiler. What does not compile is said by `runNative`, which tries it again. */
function buildNative() {
  const child = spawn(process.execPath, ['scripts/test-native.mjs', '--build-only'], { cwd: root, stdio: 'ignore' });
  setPriority(child.pid, constants.priority.PRIORITY_LOW);
  return new Promise((done) => child.once('close', done));
}

/** Counts of the native tests: their own last line; a build that failed counts as one failure. */
async function runNative() {
  const { code, output } = await run(['scripts/test-native.mjs']);
  const summary = [...output.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
  const passed = Number(summary?.[1] ?? 0);
  const failed = Number(summary?.[2] ?? 0);
  if (!summary || (code !== 0 && failed === 0)) {
    console.error(`native tests: ended with ${code} without a failed test`);
    return { passed, failed: failed + 1 };
  }
  return { passed, failed };
}

async function runVitest() {
  rmSync(reportPath, { force: true });
  const vitest = join(require.resolve('vitest/package.json'), '../vitest.mjs');
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${reportPath}`];
  if (process.stdout.isTTY) process.env.FORCE_COLOR ??= '1';
  const { code } = await run([vitest, 'run', ...reporters, ...filters]);
  let report;
  try {
    report = JSON.parse(readFileSync(reportPath, 'utf8'));
  } catch {
    console.error(`vitest: ended with ${code} without a report`);
    return { passed: 0, failed: 1 };
  }
  const passed = report.numPassedTests;
  let failed = report.numFailedTests;
  // A file that cannot be loaded, or whose hooks fail, has no failed test of its own.
  for (const file of report.testResults) {
    if (file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')) failed++;
  }
  const left = report.numPendingTests + (report.numTodoTests ?? 0);
  if (left > 0) console.error(`vitest: ${left} tests did not run`);
  // An unhandled error outside of any test.
  if (code !== 0 && failed === 0) failed = 1;
  return { passed, failed };
}

mkdirSync(join(root, '.cache'), { recursive: true });
const prepared = await run(['scripts/prepare.mjs']);
const counts = { passed: 0, failed: prepared.code === 0 ? 0 : 1 };
function count({ passed, failed }) {
  counts.passed += passed;
  counts.failed += failed;
}
const built = filters.length === 0 ? buildNative() : null;
count(await runVitest());
if (built !== null) {
  await built;
  count(await runNative());
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed === 0 ? 0 : 1;
