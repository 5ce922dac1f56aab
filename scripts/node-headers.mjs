// Finds the headers (node_api.h, uv.h, common.gypi) that the addon is compiled against, without the network where possible.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const complete = (nodeDir) =>
  ['node_api.h', 'uv.h', 'common.gypi'].every((name) => existsSync(join(nodeDir, 'include/node', name)));

/** The running node's prefix (or what npm's `nodedir` names), where it has include/node; else undefined. */
export function installedNodeDir() {
  const candidates = [
    process.env.npm_config_nodedir,
    resolve(realpathSync(process.execPath), '../..'),
    resolve(process.execPath, '../..'),
  ];
  return candidates.find((candidate) => candidate && complete(candidate));
}

/** The same from the npm package that carries node's release archive: Linux only; undefined where it cannot be had. */
export function downloadedNodeDir(log = () => {}) {
  if (process.platform !== 'linux') return undefined;
  const packageName = `node-linux-${process.arch}`;
  const prefix = join(root, '.cache/node-headers', process.version);
  const nodeDir = join(prefix, 'node_modules', packageName);
  if (complete(nodeDir)) return nodeDir;
  mkdirSync(prefix, { recursive: true });
  log(
    `no headers beside ${process.execPath}: taking them from the npm package ${packageName}@${process.versions.node}`,
  );
  const args = ['install', '--prefix', prefix, '--no-save', '--ignore-scripts', '--no-audit', '--no-fund'];
  const result = spawnSync('npm', [...args, `${packageName}@${process.versions.node}`], {
    encoding: 'utf8',
    cwd: prefix,
  });
  log(`${result.stdout ?? ''}${result.stderr ?? ''}${result.error ?? ''}`);
  return complete(nodeDir) ? nodeDir : undefined;
}
