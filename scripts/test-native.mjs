// Builds and runs the native unit tests (test/native/*_test.cc) against the library sources that need neither libuv nor Node-API.
//
//   node scripts/test-native.mjs [name-filter] [--sanitize address,undefined] [--build-only]
//
// CXX names the compiler (default g++). Plain and sanitized builds live in folders of their own.
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { buildProgram, librarySources, listSources, root, run, testFlags, whyExcluded } from './native-build.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { sanitize: { type: 'string', default: '' }, 'build-only': { type: 'boolean', default: false } },
});

const testRoot = join(root, 'test/native');
const tests = [];
for (const source of listSources(testRoot)) {
  if (relative(testRoot, source).includes('/') || !source.endsWith('_test.cc')) continue;
  const why = whyExcluded(source);
  if (why) console.log(`not part of the native tests here: ${relative(root, source)} (${why})`);
  else tests.push(source);
}

const flags = [...testFlags];
let directory = join(root, 'build-native-tests');
if (values.sanitize) {
  if (!/^[a-z,-]+$/.test(values.sanitize))
    throw new Error(`--sanitize ${values.sanitize}: expected names like address,undefined`);
  flags.push(`-fsanitize=${values.sanitize}`, '-fno-sanitize-recover=all', '-fno-omit-frame-pointer');
  directory += `-${values.sanitize.replaceAll(',', '-')}`;
}

try {
  const program = await buildProgram({
    name: 'native-tests',
    directory,
    sources: [...librarySources(), join(testRoot, 'main.cc'), join(testRoot, 'test.cc'), ...tests],
    flags,
  });
  if (!values['build-only']) {
    const code = await run(program, positionals.slice(0, 1), { cwd: root });
    if (code !== 0) throw new Error(`the native tests ended with ${code}`);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
