// The long tests of the runner: each fault a hundred times in a row, in threads and in child processes, and a hundred thousand tasks against the
// model. About ten minutes.
//
//   node scripts/test-runner.mjs [--faults 100] [--tasks 100000] [--seed 1]
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root } from './node-headers.mjs';

const { values } = parseArgs({
  options: {
    faults: { type: 'string', default: '100' },
    tasks: { type: 'string', default: '100000' },
    seed: { type: 'string' },
  },
});
for (const [name, value] of Object.entries(values)) {
  if (!/^\d+$/.test(value)) throw new Error(`--${name} ${value}: expected a number`);
}
const env = { ...process.env, GAMMALOOP_FAULT_TIMES: values.faults, GAMMALOOP_MODEL_TASKS: values.tasks };
if (values.seed !== undefined) env.GAMMALOOP_MODEL_SEED = values.seed;
const tests = ['faults', 'faults.process', 'model'].map((name) => `test/unit/runner/${name}.test.ts`);
const { status } = spawnSync(process.execPath, [join(root, 'scripts/test.mjs'), ...tests], {
  cwd: root,
  stdio: 'inherit',
  env,
});
process.exitCode = status ?? 1;
