// Node's own tests of http, https and net, on plain node and with gammaloop/register, and the difference.
//
//   npm run test:node-suite -- --tests DIR [--node BIN] [--filter RE] [--jobs N] [--only plain|hooked|both]
//                              [--register FILE] [--timeout SECONDS] [--json FILE] [--baseline FILE]
//
// DIR is the folder of a checkout of Node that has parallel/ and common/; BIN should be a node of the same version.
// --baseline takes the plain results from an earlier --json file instead of running plain. --register names the hook
// (default: dist/register.js). Left out is what test/node-suite/not-applicable.json names: tests of node's internals.
// Exit code 1 where less than 97 % of the server tests that pass plain pass hooked, or one client-only test does not.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { root } from './node-headers.mjs';
import { compareGroups, counts, isRegression, lastLines, shortfalls } from './node-suite/compare.mjs';
import { findTests } from './node-suite/find-tests.mjs';
import { killAll, runTest } from './node-suite/run-test.mjs';

let serial = 0;

async function main() {
  const options = readOptions();
  const notApplicable = JSON.parse(readFileSync(join(root, 'test/node-suite/not-applicable.json'), 'utf8'));
  const found = findTests(options.tests, options.filter);
  const tests = found.filter(({ name }) => !(name in notApplicable));
  if (tests.length === 0) throw new Error(`no applicable test in ${options.tests} matches ${options.filter}`);
  console.log(
    `${options.node} (${options.version}), ${tests.length} tests; ${found.length - tests.length} more do not apply`,
  );

  const plain =
    readBaseline(options, tests) ?? (options.only === 'hooked' ? null : await runAll('plain', tests, [], options));
  if (options.only === 'plain') return finish(options, toEntries(tests, plain, null), null);
  const hooked = await runAll('hooked', tests, [options.register], options);
  const entries = toEntries(tests, plain, hooked);
  await retryDifferences(entries, options);
  finish(options, entries, compareGroups(entries));
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      tests: { type: 'string' },
      node: { type: 'string', default: process.execPath },
      filter: { type: 'string', default: '' },
      jobs: { type: 'string', default: '2' },
      only: { type: 'string', default: 'both' },
      register: { type: 'string', default: join(root, 'dist/register.js') },
      timeout: { type: 'string', default: '60' },
      json: { type: 'string' },
      baseline: { type: 'string' },
    },
  });
  if (!values.tests) throw new Error("--tests DIR is needed: the test folder of a checkout of Node's source");
  const tests = resolve(values.tests);
  for (const part of ['parallel', 'common'])
    if (!existsSync(join(tests, part))) throw new Error(`${tests} has no folder ${part}: not Node's test folder`);
  if (!['plain', 'hooked', 'both'].includes(values.only)) throw new Error('--only takes plain, hooked or both');
  const { stdout, error } = spawnSync(values.node, ['--version'], { encoding: 'utf8' });
  if (error) throw new Error(`${values.node} cannot be run: ${error.message}`);
  if (values.only !== 'plain' && !existsSync(values.register))
    throw new Error(`${values.register} is missing: npm run build:ts makes it`);
  return {
    tests,
    node: values.node.includes('/') ? resolve(values.node) : values.node,
    version: stdout.trim(),
    filter: new RegExp(values.filter),
    jobs: wholeNumber('--jobs', values.jobs),
    timeoutMs: wholeNumber('--timeout', values.timeout) * 1000,
    only: values.only,
    register: pathToFileURL(resolve(values.register)).href,
    json: values.json,
    baseline: values.baseline,
  };
}

function wholeNumber(name, text) {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} ${text}: expected a whole number above 0`);
  return value;
}

/** Plain results by name from an earlier run; null where none was named. A test that is not in it is a mistake. */
function readBaseline({ baseline, only, version }, tests) {
  if (!baseline || only === 'plain') return null;
  const earlier = JSON.parse(readFileSync(baseline, 'utf8'));
  if (earlier.version !== version) throw new Error(`${baseline} is of node ${earlier.version}, not ${version}`);
  const results = new Map(earlier.tests.map(({ name, plain }) => [name, plain]));
  const missing = tests.filter(({ name }) => !results.get(name));
  if (missing.length > 0) throw new Error(`${baseline} has no plain result of ${missing[0].name}`);
  return results;
}

async function runAll(title, tests, imports, options) {
  const results = new Map();
  const startedAt = performance.now();
  let next = 0;
  const work = async (slot) => {
    while (next < tests.length) {
      const test = tests[next++];
      results.set(test.name, await runOne(test, imports, options, slot));
      if (results.size % 100 === 0) console.log(`${title}: ${results.size} of ${tests.length}`);
    }
  };
  await Promise.all(Array.from({ length: options.jobs }, (_, slot) => work(slot)));
  // Load can fail a test as well: alone, it has a second chance.
  if (imports.length === 0) {
    for (const test of tests.filter(({ name }) => results.get(name).status === 'fail')) {
      const again = await runOne(test, imports, options, 0);
      if (again.status === 'pass') results.set(test.name, { ...again, flaky: true });
    }
  }
  const { pass, fail, skip } = counts([...results.values()]);
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  console.log(`${title}: ${pass} pass, ${fail} fail, ${skip} skip (${seconds} s)`);
  return results;
}

function runOne(test, imports, { node, timeoutMs }, slot) {
  return runTest(test, { node, imports, timeoutMs, slot, serial: serial++ });
}

function toEntries(tests, plain, hooked) {
  const assumed = { status: 'pass', how: 'assumed: plain was not run', ms: 0, output: '' };
  return tests.map(({ name, group, path, flags, env }) => ({
    name,
    group,
    test: { name, group, path, flags, env },
    plain: plain?.get(name) ?? assumed,
    ...(hooked ? { hooked: hooked.get(name) } : {}),
  }));
}

/** What passed plain and failed hooked runs again, alone: plain (was that luck?), then hooked. */
async function retryDifferences(entries, options) {
  for (const entry of entries.filter(isRegression)) {
    const plain = await runOne(entry.test, [], options, 0);
    if (plain.status !== 'pass') {
      entry.plain = { ...plain, flaky: true };
      continue;
    }
    const hooked = await runOne(entry.test, [options.register], options, 0);
    if (hooked.status === 'pass') entry.hooked = { ...hooked, flaky: true };
  }
}

function finish(options, entries, groups) {
  const list = (title, chosen, line) => {
    if (chosen.length > 0) console.log(`\n${title} (${chosen.length})\n${chosen.map(line).join('\n')}`);
  };
  const ofPlain = (status) => entries.filter(({ plain }) => plain.status === status);
  list('Fail on plain node', ofPlain('fail'), ({ name, plain }) => `  ${name}: ${plain.how}`);
  list('Skipped on plain node', ofPlain('skip'), ({ name, plain }) => `  ${name}: ${plain.how}`);
  const flaky = entries.filter(({ plain, hooked }) => plain.flaky || hooked?.flaky);
  list('Flaky: the second run, alone, ended otherwise', flaky, ({ name, plain, hooked }) =>
    [`  ${name}:`, plain.flaky ? `plain, then ${plain.status}` : '', hooked?.flaky ? 'hooked, then pass' : ''].join(
      ' ',
    ),
  );
  if (groups) {
    list('Pass on plain node, fail with the hook', entries.filter(isRegression), ({ name, group, hooked }) =>
      [`  ${name} [${group}]: ${hooked.status}, ${hooked.how}`, ...lastLines(hooked.output, 12)].join('\n'),
    );
    console.log('\nOf the tests that pass on plain node, pass with the hook');
    for (const { title, hookedPass, plainPass, percent } of groups)
      console.log(`  ${title}: ${hookedPass} of ${plainPass}, ${percent.toFixed(1)} %`);
    const reasons = shortfalls(groups);
    console.log(reasons.length > 0 ? `Not reached: ${reasons.join('; ')}` : 'Reached');
    if (reasons.length > 0) process.exitCode = 1;
  }
  if (options.json) {
    const { node, version, register, only } = options;
    const tests = entries.map(({ test, ...entry }) => entry);
    writeFileSync(options.json, `${JSON.stringify({ node, version, register, only, groups, tests }, null, 1)}\n`);
  }
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    killAll();
    process.exit(1);
  });
}
main().catch((error) => {
  killAll();
  console.error(error.message);
  process.exitCode = 1;
});
