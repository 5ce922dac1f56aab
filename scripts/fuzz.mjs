// Builds every test/native/fuzz/*_fuzz.cc with clang's libFuzzer, address and undefined-behaviour sanitizers, and runs each one,
// as many at a time as there are processors.
//
//   npm run fuzz -- [--seconds 60] [name-filter] [--build-only]
//
// Seeds are the small files in test/native/fuzz/corpus/<name without _fuzz>/; what the fuzzer finds worth keeping goes to
// build-fuzz/corpus/, so that the next run starts further on. A finding is written to build-fuzz/findings/ and fails the run.
// CLANGXX names the compiler (default clang++).
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildProgram, librarySources, listSources, root, run, testFlags, whyExcluded } from './native-build.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, 'build-only': { type: 'boolean', default: false } },
});
const seconds = Number(values.seconds);
const compiler = process.env.CLANGXX || 'clang++';
const directory = join(root, 'build-fuzz');
const fuzzRoot = join(root, 'test/native/fuzz');
const flags = [...testFlags, '-fno-omit-frame-pointer', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'];

async function main() {
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new Error(`--seconds ${values.seconds}: expected a whole number above 0`);
  if (spawnSync(compiler, ['--version']).status !== 0) {
    throw new Error(
      `${compiler} was not found. Fuzzing needs clang with libFuzzer (Debian: apt install clang); or name one in CLANGXX.`,
    );
  }
  const filter = positionals[0] ?? '';
  const targets = listSources(fuzzRoot).filter((path) => path.endsWith('_fuzz.cc') && basename(path).includes(filter));
  if (targets.length === 0) throw new Error(`no fuzz target contains "${filter}"`);
  const findings = join(directory, 'findings');
  mkdirSync(findings, { recursive: true });
  const programs = [];
  for (const target of targets) {
    const name = basename(target, '.cc');
    const why = whyExcluded(target);
    if (why) throw new Error(`${name} cannot be built here: ${why}`);
    const program = await buildProgram({
      name,
      directory,
      compiler,
      sources: [...librarySources(), target],
      flags: [...flags, '-fsanitize=fuzzer-no-link'],
      linkFlags: ['-fsanitize=fuzzer'],
    });
    programs.push({ name, program });
  }
  if (values['build-only']) return;
  // As many at a time as there are processors.
  const runners = Array.from({ length: availableParallelism() }, async () => {
    for (let next = programs.shift(); next !== undefined; next = programs.shift()) await fuzz(next, findings);
  });
  await Promise.all(runners);
}

/** What the fuzzer prints goes to build-fuzz/NAME.log; here, what came of it. */
async function fuzz({ name, program }, findings) {
  const grown = join(directory, 'corpus', name);
  mkdirSync(grown, { recursive: true });
  const seeds = join(fuzzRoot, 'corpus', name.replace(/_fuzz$/, ''));
  const args = [
    `-max_total_time=${seconds}`,
    '-timeout=10',
    '-print_final_stats=1',
    `-artifact_prefix=${findings}/${name}-`,
    grown,
  ];
  if (existsSync(seeds)) args.push(seeds);
  const log = join(directory, `${name}.log`);
  const output = openSync(log, 'w');
  const code = await run(program, args, { cwd: root, stdio: ['ignore', output, output] });
  closeSync(output);
  const said = readFileSync(log, 'utf8');
  if (code !== 0) {
    throw new Error(`${name} ended with ${code}: the input is in build-fuzz/findings/\n${said.slice(-8000)}`);
  }
  const [done] = said.match(/^Done \d+ runs in \d+ second.*$/m) ?? [];
  if (done === undefined) throw new Error(`${name} does not say that it is done: see ${log}`);
  console.log(`${name}: ${done}`);
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
