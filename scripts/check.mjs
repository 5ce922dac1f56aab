// Format, lint and types: biome and tsc for TypeScript, clang-format for C++, and whether the native tests compile.
//
//   node scripts/check.mjs [--write] [--no-native-tests]
//
// --write (npm run format) applies formats and safe fixes; --no-native-tests is for who compiles them anyhow. Every part runs, so that one
// call shows everything; the exit code says whether all were clean.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { checkNativeTests } from './check-native-tests.mjs';
import { root } from './node-headers.mjs';

const require = createRequire(import.meta.url);
const write = process.argv.includes('--write');
// Versions of clang-format differ in detail: this is the one of Debian 12, and of CI.
const clangFormatMajor = '14';
const failures = [];

function run(name, command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'}`);
  if (error) console.error(error.message);
  if (status !== 0) failures.push(name);
}

function binOf(packageName, bin) {
  return join(require.resolve(`${packageName}/package.json`), '..', bin);
}

function cxxFiles() {
  return ['native', 'test/native', 'bench'].flatMap((directory) =>
    readdirSync(join(root, directory), { recursive: true })
      .map((name) => `${directory}/${name}`)
      .filter((path) => /\.(cc|h|c)$/.test(path) && !path.includes('node_modules/') && !path.includes('/build/'))
      .sort(),
  );
}

function checkCxxFormat() {
  const versioned = `clang-format-${clangFormatMajor}`;
  const candidates = process.env.CLANG_FORMAT ? [process.env.CLANG_FORMAT] : [versioned, 'clang-format'];
  const found = candidates.flatMap((command) => {
    const { stdout, status } = spawnSync(command, ['--version'], { encoding: 'utf8' });
    return status === 0 ? [{ command, major: /version (\d+)/.exec(stdout)?.[1] }] : [];
  });
  const best = found.find(({ major }) => major === clangFormatMajor);
  if (!best) {
    const seen = found.length > 0 ? `only version ${found[0].major} was found` : 'it was not found';
    console.error(
      `clang-format ${clangFormatMajor} is needed, and ${seen}: install ${versioned}, or name it in CLANG_FORMAT`,
    );
    failures.push('clang-format');
    return;
  }
  run('clang-format', best.command, [...(write ? ['-i'] : ['--dry-run', '-Werror']), '--style=file', ...cxxFiles()]);
}

async function checkNativeTestsToo() {
  const isClean = await checkNativeTests().catch((error) => {
    console.error(error.message);
    return false;
  });
  console.log(`native tests: ${isClean ? 'ok' : 'failed'}`);
  if (!isClean) failures.push('native tests');
}

const biomeArgs = ['check', ...(write ? ['--write'] : []), ...(process.stdout.isTTY ? [] : ['--colors=off'])];
run('biome', process.execPath, [binOf('@biomejs/biome', 'bin/biome'), ...biomeArgs]);
run('tsc', process.execPath, [binOf('typescript', 'bin/tsc'), '-p', 'tsconfig.json', '--noEmit']);
checkCxxFormat();
if (!process.argv.includes('--no-native-tests')) await checkNativeTestsToo();

if (failures.length > 0) {
  console.error(
    `check failed: ${failures.join(', ')}${write ? '' : ' (npm run format applies formats and safe fixes)'}`,
  );
  process.exitCode = 1;
}
