/** A copy of the sources, as a fresh clone has them, with this checkout's node_modules. */
import { cp, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { root } from '../architecture/sources.js';

const notSources = /^(build|build-.*|dist|prebuilds|\.cache|\.git|bench|.*\.tgz)$/;

export async function cloneSources(target: string): Promise<void> {
  const isOutput = (path: string) =>
    basename(path) === 'node_modules' || (join(root, basename(path)) === path && notSources.test(basename(path)));
  await cp(root, target, { recursive: true, filter: (path) => path === root || !isOutput(path) });
  await symlink(join(root, 'node_modules'), join(target, 'node_modules'));
}
