/** Node binaries of other versions: from the npm package node-<os>-<arch>, kept in .cache/node. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);

export interface NodeBinary {
  readonly major: number;
  readonly path: string;
}

/** The versions that the package is tested on. Where there is no package of binaries: the running one alone. */
export const testedMajors: readonly number[] =
  process.platform === 'linux' ? [20, 22, 24, 26] : [Number(process.versions.node.split('.')[0])];

/** Environment for npm and for programs started here: without what an outer `npm test` has set for its own project. */
export function cleanEnvironment(extra: Record<string, string> = {}): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const [name, value] of Object.entries(process.env)) {
    const isOuterProject =
      /^npm_(lifecycle|package)_|^npm_config_(local_|global_)?prefix$|^(INIT_CWD|NODE_OPTIONS|VITEST.*|NODE_ENV)$/;
    if (!isOuterProject.test(name)) env[name] = value;
  }
  return { ...env, ...extra };
}

export async function nodeBinary(root: string, major: number): Promise<NodeBinary> {
  if (process.versions.node.startsWith(`${major}.`)) return { major, path: process.execPath };
  const prefix = join(root, '.cache/node', String(major));
  const name = `node-linux-${process.arch}`;
  const path = join(prefix, 'node_modules', name, 'bin/node');
  if (!existsSync(path)) {
    // Test files that run side by side see all of it, or nothing; the first to have it has it for all.
    mkdirSync(join(root, '.cache/node'), { recursive: true });
    const fresh = mkdtempSync(join(root, '.cache/node/install-'));
    const args = [
      'install',
      '--prefix',
      fresh,
      '--no-save',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      `${name}@${major}`,
    ];
    await exec('npm', args, { cwd: fresh, env: cleanEnvironment() });
    try {
      renameSync(fresh, prefix);
    } catch (error) {
      rmSync(fresh, { recursive: true });
      if (!existsSync(path)) throw new Error(`${prefix} has no node, and is in the way: remove it`, { cause: error });
    }
  }
  const { stdout } = await exec(path, ['-p', 'process.versions.node'], { env: cleanEnvironment() });
  if (!stdout.startsWith(`${major}.`)) throw new Error(`${path} is ${stdout.trim()}`);
  return { major, path };
}
