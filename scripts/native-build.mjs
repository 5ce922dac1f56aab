// Builds small native programs (unit tests, differential side, fuzz targets) with nothing but a C++ compiler: no node-gyp, no cmake, no network.
// Objects are rebuilt when the source, a header that it includes (from the compiler's own dependency files) or the flags change.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const nativeRoot = join(root, 'native');
const testRoot = join(root, 'test/native');
const jobs = 2;

/** For everything that is built to be tested: `-g1` has the lines that a sanitizer's report names, and compiles in three quarters of the time of `-g`. */
export const testFlags = ['-O1', '-g1'];

// Headers that a plain program cannot have: Node-API and libuv come with node's own build, the others with one system each.
const headerPlatforms = {
  'napi.h': [],
  'node_api.h': [],
  'uv.h': [],
  'sys/epoll.h': ['linux', 'android'],
  'sys/inotify.h': ['linux', 'android'],
  'sys/event.h': ['darwin', 'freebsd', 'openbsd', 'netbsd'],
};
const platformSuffix = /_(linux|darwin|freebsd|win32)\.cc$/;

/** Every .cc file under `directory`, sorted. */
export function listSources(directory) {
  return readdirSync(directory, { recursive: true })
    .map((name) => join(directory, String(name)))
    .filter((path) => path.endsWith('.cc'))
    .sort();
}

/** The names that a file includes, and those of them that are files of the project. */
function includesOf(path) {
  const names = [...readFileSync(path, 'utf8').matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map(
    ([, name]) => name,
  );
  const places = (name) => [join(nativeRoot, name), join(dirname(path), name), join(testRoot, name)];
  return { names, files: names.flatMap((name) => places(name).find((place) => existsSync(place)) ?? []) };
}

/** A source and the project's own files that it includes, directly or by others. */
export function includedFiles(source, seen = new Set()) {
  seen.add(source);
  for (const path of includesOf(source).files) if (!seen.has(path)) includedFiles(path, seen);
  return seen;
}

/** Why a source cannot be part of a plain program on this platform, or ''. */
export function whyExcluded(source) {
  const suffix = platformSuffix.exec(source);
  if (suffix && suffix[1] !== process.platform) return `for ${suffix[1]}`;
  for (const path of includedFiles(source)) {
    for (const name of includesOf(path).names) {
      const platforms = headerPlatforms[name];
      if (platforms && !platforms.includes(process.platform)) return `needs ${name}`;
    }
  }
  return '';
}

/** The library sources that need neither libuv nor Node-API. */
export function librarySources() {
  return listSources(nativeRoot).filter((source) => !whyExcluded(source));
}

/** Runs a program with inherited output; resolves with its exit code (or signal name). */
export function run(command, args, options = {}) {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options });
    child.once('error', (error) =>
      fail(error.code === 'ENOENT' ? new Error(`${command} was not found: install it, or name another in CXX`) : error),
    );
    child.once('exit', (code, signal) => done(signal ?? code));
  });
}

function isFresh(object, dependencies, stampPath, stamp) {
  if (!existsSync(object) || !existsSync(dependencies) || !existsSync(stampPath)) return false;
  if (readFileSync(stampPath, 'utf8') !== stamp) return false;
  const built = statSync(object).mtimeMs;
  const list = readFileSync(dependencies, 'utf8').replaceAll('\\\n', ' ');
  const inputs = list.slice(list.indexOf(': ') + 2).match(/(?:\\ |\S)+/g) ?? [];
  return inputs.every((escaped) => {
    const path = resolve(root, escaped.replaceAll('\\ ', ' '));
    return existsSync(path) && statSync(path).mtimeMs <= built;
  });
}

/** Library sources are compiled as the addon is: without exceptions and type information. */
export function compilerArgs(source, flags = []) {
  const args = ['-std=c++20', '-Wall', '-Wextra', '-Werror', '-pthread', ...flags, `-I${nativeRoot}`];
  if (source.startsWith(nativeRoot)) return [...args, '-fno-exceptions', '-fno-rtti'];
  // The vptr check needs type information of the library's classes, which have none.
  return [...args, '-fno-sanitize=vptr', `-I${testRoot}`];
}

/** Two builds may compile the same object at once (npm test does): each writes its own, and puts it in place whole. */
async function compile(compiler, { args, source, object, dependencies, stampPath, stamp }) {
  const mine = (path) => `${path}.${process.pid}`;
  const output = ['-MMD', '-MF', mine(dependencies), '-c', source, '-o', mine(object)];
  if ((await run(compiler, [...args, ...output], { cwd: root })) !== 0) return false;
  rmSync(stampPath, { force: true });
  renameSync(mine(dependencies), dependencies);
  renameSync(mine(object), object);
  writeFileSync(stampPath, stamp);
  return true;
}

/**
 * Compiles `sources` into `directory` and links them as `name`; returns the program's path. `flags` go to compiler and linker, `linkFlags` to the linker.
 */
export async function buildProgram({
  name,
  directory,
  sources,
  compiler = process.env.CXX || 'g++',
  flags = [],
  linkFlags = [],
}) {
  mkdirSync(directory, { recursive: true });
  const objects = [];
  const libraryObjects = [];
  const stale = [];
  for (const source of sources) {
    const args = compilerArgs(source, flags);
    const tag = createHash('sha1').update(relative(root, source)).digest('hex').slice(0, 8);
    const object = join(directory, `${basename(source, '.cc')}-${tag}.o`);
    const dependencies = object.replace(/o$/, 'd');
    const stampPath = object.replace(/o$/, 'flags');
    const stamp = [compiler, ...args].join(' ');
    (source.startsWith(nativeRoot) ? libraryObjects : objects).push(object);
    if (isFresh(object, dependencies, stampPath, stamp)) continue;
    stale.push({ args, source, object, dependencies, stampPath, stamp });
  }
  const program = join(directory, name);
  let failed = '';
  let rebuilt = 0;
  const worker = async () => {
    while (stale.length > 0 && !failed) {
      const unit = stale.shift();
      if (!(await compile(compiler, unit))) failed = relative(root, unit.source);
      rebuilt++;
    }
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  if (failed) throw new Error(`${failed} does not compile`);
  const linkStamp = join(directory, `${name}.objects`);
  const objectList = [...objects, ...libraryObjects].join('\n');
  const linked = existsSync(program) && existsSync(linkStamp) && readFileSync(linkStamp, 'utf8') === objectList;
  const linkedAt = linked ? statSync(program).mtimeMs : 0;
  if (rebuilt === 0 && linked && objectList.split('\n').every((object) => statSync(object).mtimeMs <= linkedAt))
    return program;
  // Through an archive, so that only what the program uses is linked: some sources need others that cannot be part of it.
  const archive = join(directory, `lib${name}.a`);
  rmSync(archive, { force: true });
  if ((await run('ar', ['rcs', archive, ...libraryObjects], { cwd: root })) !== 0)
    throw new Error(`${archive} cannot be written`);
  const code = await run(compiler, ['-pthread', ...flags, ...linkFlags, ...objects, archive, '-o', program], {
    cwd: root,
  });
  if (code !== 0) throw new Error(`${name} does not link`);
  writeFileSync(linkStamp, objectList);
  return program;
}
