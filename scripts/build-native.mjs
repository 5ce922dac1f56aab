// Builds the addon with node-gyp into build/Release/gammaloop.node, and in a clone also the test addon beside it.
//
//   node scripts/build-native.mjs [--clean] [--prebuild]
//
// --prebuild puts a binary for publishing into prebuilds/ instead (through prebuildify, tagged with the C library).
// GAMMALOOP_WERROR=1 turns warnings into errors. JOBS is the number of compilers at a time.
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { addonSources } from './native-sources.mjs';
import { downloadedNodeDir, installedNodeDir, root } from './node-headers.mjs';

const require = createRequire(import.meta.url);

function run(args, env, onOutput) {
  return new Promise((done, fail) => {
    const stdio = onOutput ? ['ignore', 'pipe', 'pipe'] : 'inherit';
    const child = spawn(process.execPath, args, { cwd: root, env, stdio });
    child.stdout?.on('data', onOutput);
    child.stderr?.on('data', onOutput);
    child.once('error', fail);
    child.once('exit', (code, signal) =>
      code === 0 ? done() : fail(new Error(`${args[0]} ended with ${signal ?? code}`)),
    );
  });
}

/** Rejects where the addon cannot be built. `onOutput` receives what the tools print; without it they print themselves. */
export async function buildNative({ clean = false, prebuild = false, onOutput } = {}) {
  const log = onOutput ?? ((text) => console.log(text));
  addonSources(process.platform);
  const nodeDir = installedNodeDir() ?? downloadedNodeDir(log);
  const env = {
    ...process.env,
    JOBS: process.env.JOBS ?? String(availableParallelism()),
    ...(nodeDir && { npm_config_nodedir: nodeDir }),
  };
  const nodeGyp = join(require.resolve('node-gyp/package.json'), '../bin/node-gyp.js');
  if (prebuild) {
    const prebuildify = join(require.resolve('prebuildify/package.json'), '../bin.js');
    const target = `--target=${process.versions.node}`;
    await run([prebuildify, '--napi', '--tag-libc', '--strip', target], env, onOutput);
    return;
  }
  const args = [nodeGyp, ...(clean ? ['clean'] : []), 'configure', 'build', '--release', '--gammaloop_tests=1'];
  if (nodeDir) args.push(`--nodedir=${nodeDir}`);
  if (process.env.GAMMALOOP_WERROR === '1') args.push('--gammaloop_werror=1');
  await run(args, env, onOutput);
  // The test addon must not stay beside the addon: node-gyp-build might take it for that.
  rmSync(join(root, 'build/tests'), { recursive: true, force: true });
  mkdirSync(join(root, 'build/tests'));
  renameSync(join(root, 'build/Release/native_tests_uv.node'), join(root, 'build/tests/native_tests_uv.node'));
}

/**
 * npm runs the script `prebuild` by itself before `build`, where nobody asked for it. Nothing in the environment tells the two apart, but
 * npm's process title does.
 */
function isHookOfBuild() {
  if (process.env.npm_lifecycle_event !== 'prebuild') return false;
  for (let pid = process.ppid, depth = 0; pid > 1 && depth < 3; depth++) {
    let line;
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const parent = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1];
      line = `${parent} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
    } else {
      line = spawnSync('ps', ['-o', 'ppid=,args=', '-p', String(pid)], { encoding: 'utf8' }).stdout ?? '';
    }
    if (/\bnpm (run|run-script|rum|urn) (.* )?build\b(?!:)/.test(line)) return true;
    pid = Number.parseInt(line, 10);
  }
  return false;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({ options: { clean: { type: 'boolean' }, prebuild: { type: 'boolean' } } });
  try {
    if (!(values.prebuild && isHookOfBuild())) await buildNative(values);
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
