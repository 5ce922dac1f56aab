// All tests with one command: brings the build up to date, then vitest (unit, conformance, architecture, package) and the native tests, which are
// compiled meanwhile.
// Ends with a line `FAILED ...` for each failure, told once more, and `N passed, N failed`, the sum of both. With arguments (npm test -- keep-alive)
// only vitest runs, and gets them.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, setPriority } from 'node:os';
import { join, relative } from 'node:path';
import { root } from './node-headers.mjs';

const require = createRequire(import.meta.url);
const reportPath = join(root, '.cache/vitest.json');
const filters = process.argv.slice(2);

/** Runs a node script, showing what it prints; resolves with its exit code and output. */
function run(args) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['inherit', 'pipe', 'pipe'] });
    let output = '';
    for (const [from, to] of [
      [child.stdout, process.stdout],
      [child.stderr, process.stderr],
    ]) {
      from.setEncoding('utf8').on('data', (text) => {
        output += text;
        to.write(text);
      });
    }
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

/** The native tests: `passed` is their number, `failed` names those that failed; a build that failed is one. */
async function runNative() {
  const { code, output } = await run(['scripts/test-native.mjs']);
  const summary = [...output.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1);
  const failed = [...output.matchAll(/^FAILED (.+)$/gm)].map((match) => `native: ${match[1]}`);
  if (!summary || (code !== 0 && failed.length === 0)) failed.push(`native tests: ended with ${code}`);
  return { passed: Number(summary?.[1] ?? 0), failed };
}

/** As `runNative`. A file that cannot be loaded, or whose hooks fail, has no failed test of its own, and counts as one. */
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
    return { passed: 0, failed: [`vitest: ended with ${code} without a report`] };
  }
  const failed = [];
  for (const file of report.testResults) {
    const name = relative(root, file.name);
    const tests = file.assertionResults.filter((test) => test.status === 'failed');
    for (const test of tests) failed.push(`${name}: ${test.fullName}: ${briefly(test.failureMessages?.[0])}`);
    if (file.status === 'failed' && tests.length === 0) failed.push(`${name}: ${briefly(file.message)}`);
  }
  const left = report.numPendingTests + (report.numTodoTests ?? 0);
  if (left > 0) console.error(`vitest: ${left} tests did not run`);
  if (code !== 0 && failed.length === 0) failed.push(`vitest: ended with ${code}: an error outside of any test`);
  return { passed: report.numPassedTests, failed };
}

/** What a failure says, on one line: its message, and where in the tests. */
function briefly(message = '') {
  const lines = message.split('\n').map((line) => line.trim());
  const where = lines.find((line) => line.startsWith('at ') && line.includes(join(root, 'test')));
  const what = lines.filter((line) => line !== '' && !line.startsWith('at ')).join(' ');
  return (what.slice(0, 300) + (where ? ` (${where.replaceAll(root, '.')})` : '')).replaceAll(/\x1b\[[\d;]*m/g, '');
}

mkdirSync(join(root, '.cache'), { recursive: true });
const prepared = await run(['scripts/prepare.mjs']);
const failures = prepared.code === 0 ? [] : [`scripts/prepare.mjs: ended with ${prepared.code}`];
let passed = 0;
function count(result) {
  passed += result.passed;
  failures.push(...result.failed);
}
const built = filters.length === 0 ? buildNative() : null;
count(await runVitest());
if (built !== null) {
  await built;
  count(await runNative());
}
for (const failure of failures) console.log(`FAILED ${failure}`);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
