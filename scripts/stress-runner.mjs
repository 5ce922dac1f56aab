// The runner's queue and its native workers under the thread sanitizer: producers, consumers and cancellers, ten million operations (a
// tenth of that for the workers) unless told otherwise.
//
//   node scripts/stress-runner.mjs [operations]
import { join } from 'node:path';
import { buildProgram, librarySources, root, run, testFlags } from './native-build.mjs';

const operations = process.argv[2] ?? '10000000';
if (!/^\d+$/.test(operations)) throw new Error(`${operations}: expected a number of operations`);
const testRoot = join(root, 'test/native');
const tests = ['main', 'test', 'job_queue_test', 'job_queue_stress_test', 'native_worker_test', 'parcel_test'];

try {
  const program = await buildProgram({
    name: 'runner-stress',
    directory: join(root, 'build-native-tests-thread'),
    sources: [
      ...librarySources().filter((source) => source.includes('/runner/')),
      ...tests.map((name) => join(testRoot, `${name}.cc`)),
    ],
    flags: [...testFlags, '-fsanitize=thread', '-fno-sanitize-recover=all', '-fno-omit-frame-pointer'],
  });
  const code = await run(program, [], {
    cwd: root,
    env: { ...process.env, GAMMALOOP_STRESS_OPERATIONS: operations },
  });
  if (code !== 0) throw new Error(`the stress test ended with ${code}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
