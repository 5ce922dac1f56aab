// Builds the addon with CMake (through cmake-js) into build-cmake/Release/gammaloop.node: the same sources as node-gyp's.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { downloadedNodeDir, installedNodeDir, root } from './node-headers.mjs';

const nodeDir = installedNodeDir() ?? downloadedNodeDir(console.log);
if (!nodeDir) {
  console.error(
    'no headers of node were found: install node from an archive that has include/node, or set npm_config_nodedir',
  );
  process.exit(1);
}
const cmakeJs = join(createRequire(import.meta.url).resolve('cmake-js/package.json'), '../bin/cmake-js');
const args = [
  cmakeJs,
  'build',
  '--out',
  'build-cmake',
  '--config',
  'Release',
  `--CDGAMMALOOP_NODE_INCLUDE=${join(nodeDir, 'include/node')}`,
];
if (process.env.GAMMALOOP_WERROR === '1') args.push('--CDGAMMALOOP_WERROR=ON');
const result = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
process.exitCode = result.status ?? 1;
