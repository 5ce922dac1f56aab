// Prints 1 where the C++ compiler optimizes across files as it links, as binding.gyp asks (CMakeLists.txt has CMake find out), else 0.
//
//   node scripts/link-time-optimization.mjs OS
//
// Clang on Linux can only where the linker has a plugin for it, so one is tried.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

function works() {
  const [command, ...given] = (process.env.CXX || 'g++').split(' ').filter(Boolean);
  const folder = mkdtempSync(join(tmpdir(), 'gammaloop-lto-'));
  try {
    const args = [...given, '-flto=auto', '-O1', '-shared', '-fPIC', '-x', 'c++', '-', '-o', join(folder, 'trial')];
    return spawnSync(command, args, { input: 'int trial() { return 1; }\n' }).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

console.log(process.argv[2] === 'linux' && works() ? 1 : 0);
