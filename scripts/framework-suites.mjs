// The test suites of frameworks and middleware, on plain node and with gammaloop/register, and the difference.
//
//   npm run test:frameworks -- [--only express,koa] [--modes plain|hooked|both] [--node BIN] [--work DIR] [--source DIR]
//                              [--register FILE] [--json FILE]
//
// Clones each project from github.com at the tag in framework-suites/projects.mjs, installs what its tests need and runs them,
// all under --work (default: a new folder in the system's temporary one). --source DIR clones from DIR/<name> instead:
// repositories, or folders that hold the source at that tag (`@hono/node-server` is `@hono-node-server`). An earlier --work is used again.
// Exit code 1 where a test passes plain and fails hooked, twice.
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { prepareCheckout } from './framework-suites/checkout.mjs';
import { projects } from './framework-suites/projects.mjs';
import { killRunning, runSuite } from './framework-suites/run-suite.mjs';
import { root } from './node-headers.mjs';

async function main() {
  const options = readOptions();
  const report = [];
  for (const project of options.projects) {
    const entry = { name: project.name, tag: project.tag };
    report.push(entry);
    try {
      await runProject(project, entry, options);
    } catch (error) {
      entry.error = error.message;
      console.log(`${project.name} ${project.tag}: could not be run: ${error.message}`);
    }
    if (entry.error || entry.regressions?.length > 0) process.exitCode = 1;
    if (options.json) writeFileSync(options.json, `${JSON.stringify(report, null, 1)}\n`);
  }
}

function readOptions() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      modes: { type: 'string', default: 'both' },
      node: { type: 'string', default: process.execPath },
      work: { type: 'string' },
      source: { type: 'string' },
      register: { type: 'string', default: join(root, 'dist/register.js') },
      json: { type: 'string' },
    },
  });
  const names = values.only?.split(',') ?? projects.map(({ name }) => name);
  const unknown = names.find((name) => !projects.some((project) => project.name === name));
  if (unknown) throw new Error(`--only ${unknown}: not one of ${projects.map(({ name }) => name).join(', ')}`);
  if (!['plain', 'hooked', 'both'].includes(values.modes)) throw new Error('--modes takes plain, hooked or both');
  if (values.modes !== 'plain' && !existsSync(values.register))
    throw new Error(`${values.register} is missing: npm run build:ts makes it`);
  return {
    projects: projects.filter(({ name }) => names.includes(name)),
    modes: values.modes,
    node: resolve(values.node),
    work: values.work ? resolve(values.work) : mkdtempSync(join(tmpdir(), 'framework-suites-')),
    source: values.source && resolve(values.source),
    register: pathToFileURL(resolve(values.register)).href,
    json: values.json,
  };
}

async function runProject(project, entry, options) {
  const { node, register, modes } = options;
  const cwd = prepareCheckout(project, options);
  const run = async (mode) => {
    const result = await runSuite(project, cwd, { node, register: mode === 'hooked' ? register : null });
    const count = (status) => [...result.tests.values()].filter((test) => test.status === status).length;
    const counts = { pass: count('pass'), fail: count('fail'), skip: count('skip') };
    const failed = [...result.tests].filter(([, { status }]) => status === 'fail');
    entry[mode] = { ...counts, seconds: result.seconds, ended: result.ended, failed: Object.fromEntries(failed) };
    console.log(
      `${project.name} ${project.tag}, ${mode}: ${counts.pass} pass, ${counts.fail} fail, ${counts.skip} skip (${result.seconds} s, ${result.ended})`,
    );
    if (result.tests.size === 0) throw new Error(`no test ran\n${result.output}`);
    return result.tests;
  };
  if (modes !== 'both') {
    const tests = await run(modes);
    for (const [name, { status }] of tests) if (status === 'fail') console.log(`  fails: ${name}`);
    return;
  }
  const plain = await run('plain');
  const lost = (hooked) =>
    [...plain]
      .filter(([name, { status }]) => status === 'pass' && hooked.get(name)?.status !== 'pass')
      .map(([name]) => name);
  const first = await run('hooked');
  let regressions = lost(first);
  if (regressions.length > 0) {
    const second = await run('hooked');
    const again = new Set(lost(second));
    entry.flaky = regressions.filter((name) => !again.has(name));
    regressions = regressions.filter((name) => again.has(name));
  }
  entry.regressions = regressions.map((name) => ({ name, error: first.get(name)?.error ?? 'did not run' }));
  for (const name of entry.flaky ?? []) console.log(`  flaky, failed once hooked: ${name}`);
  for (const { name, error } of entry.regressions)
    console.log(`  passes plain, fails hooked: ${name}\n      ${error.split('\n').slice(0, 3).join('\n      ')}`);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    killRunning();
    process.exit(1);
  });
}
main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
