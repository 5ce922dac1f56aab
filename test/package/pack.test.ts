/**
 * The package as its users get it: built and packed from a copy of the sources, installed from the tarball without scripts into an empty
 * project, and run there on every supported Node. One binary serves them all.
 */
import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../architecture/sources.js';
import { cloneSources } from './clone.js';
import { cleanEnvironment, nodeBinary, testedMajors } from './nodes.js';

const exec = promisify(execFile);
const programs = join(root, 'test/package/programs');
const binaryName =
  process.platform === 'linux' ? /^prebuilds\/linux-\w+\/gammaloop\.(glibc|musl)\.node$/ : /^prebuilds\/.*\.node$/;

interface Packed {
  filename: string;
  files: { path: string }[];
}

let scratch: string;
let project: string;
let packed: Packed;
let installed: string;

async function pack(): Promise<string> {
  const copy = join(scratch, 'copy');
  await cloneSources(copy);
  // The binary in prebuilds/ is what the tarball carries: prepare need not build another one.
  const options = { cwd: copy, env: cleanEnvironment({ GAMMALOOP_SKIP_ADDON: '1' }), maxBuffer: 1 << 26 };
  await exec('npm', ['run', 'prebuild'], options);
  const { stdout } = await exec('npm', ['pack', '--json', '--pack-destination', scratch], options);
  packed = parsePackReport(stdout);
  return join(scratch, packed.filename);
}

/** npm before 12 prints an array; scripts may print before it. */
function parsePackReport(stdout: string): Packed {
  const start = stdout.search(/^[[{]/m);
  const report = JSON.parse(stdout.slice(start)) as Packed[] | Record<string, Packed>;
  return Object.values(report)[0] as Packed;
}

beforeAll(async () => {
  scratch = await realpath(await mkdtemp(join(tmpdir(), 'gammaloop-pack-')));
  const tarball = await pack();
  project = join(scratch, 'project');
  await mkdir(project);
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'consumer', private: true, type: 'module' }));
  const args = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', tarball];
  await exec('npm', args, { cwd: project, env: cleanEnvironment() });
  installed = join(project, 'node_modules/gammaloop');
  await cp(join(programs, 'serve.mjs'), join(project, 'serve.mjs'));
  await cp(join(programs, 'require.cjs'), join(project, 'require.cjs'));
  await cp(join(programs, 'drop-in.mjs'), join(project, 'drop-in.mjs'));
  await cp(join(programs, 'runner.mjs'), join(project, 'runner.mjs'));
}, 600_000);

afterAll(async () => {
  await rm(scratch, { recursive: true, force: true });
});

describe('the tarball', () => {
  test('has the code, its types, a binary, license and readme, and nothing else', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const path of [
      'package.json',
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'dist/index.js',
      'dist/index.d.ts',
      'native/include/gammaloop_task.h',
    ]) {
      expect(paths).toContain(path);
    }
    expect(paths.filter((path) => binaryName.test(path))).toHaveLength(1);
    const others = paths.filter(
      (path) =>
        !/^(dist\/|prebuilds\/|native\/include\/gammaloop_task\.h$|package\.json$|LICENSE$|README\.md$|CHANGELOG\.md$)/.test(
          path,
        ),
    );
    expect(others).toEqual([]);
    expect(paths.filter((path) => /(^|\/)tests?\/|\.test\.|\.cc$|\.gyp$/.test(path))).toEqual([]);
  });

  test('has no install script, not even the one that npm adds for a binding.gyp', async () => {
    const manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8'));
    expect(manifest.gypfile).toBe(false);
    for (const name of ['preinstall', 'install', 'postinstall']) expect(manifest.scripts).not.toHaveProperty(name);
    const lock = JSON.parse(await readFile(join(project, 'package-lock.json'), 'utf8'));
    expect(lock.packages['node_modules/gammaloop']).not.toHaveProperty('hasInstallScript');
  });
});

describe.each(testedMajors)('installed, on node %i', (major) => {
  test('import, and a request by each interface on the native backend', { timeout: 300_000 }, async () => {
    const node = await nodeBinary(root, major);
    const { stdout } = await exec(node.path, ['serve.mjs'], { cwd: project, env: cleanEnvironment() });
    expect(JSON.parse(stdout)).toEqual({
      fetch: { backend: 'native', status: 200, text: 'fetch /path' },
      app: { backend: 'native', status: 200, text: 'app /path' },
      node: { backend: 'native', status: 200, text: 'node /path' },
      sync: { backend: 'native', status: 200, text: 'sync /path' },
    });
  });

  test('require', { timeout: 300_000 }, async () => {
    const node = await nodeBinary(root, major);
    const { stdout } = await exec(node.path, ['require.cjs'], { cwd: project, env: cleanEnvironment() });
    expect(JSON.parse(stdout)).toEqual({ backend: 'native', text: 'required' });
  });

  test.each(['--import', '-r'])('the register hook by %s', { timeout: 300_000 }, async (way) => {
    const node = await nodeBinary(root, major);
    const args = [way, 'gammaloop/register', 'drop-in.mjs'];
    const { stdout, stderr } = await exec(node.path, args, { cwd: project, env: cleanEnvironment() });
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      text: 'app /path',
      isSameFunction: true,
      isNodes: true,
      https: true,
      dropIn: { installed: true, native: 1, fallback: [] },
    });
  });

  test('the runner', { timeout: 300_000 }, async () => {
    const node = await nodeBinary(root, major);
    const { stdout } = await exec(node.path, ['runner.mjs'], { cwd: project, env: cleanEnvironment() });
    expect(JSON.parse(stdout)).toEqual({
      sums: true,
      called: 'CALLED',
      late: 'ERR_GAMMALOOP_TIMEOUT',
      native: 'a native task',
    });
  });

  test('without its binary: the node backend serves, and says so', { timeout: 300_000 }, async () => {
    const node = await nodeBinary(root, major);
    const bare = join(scratch, `bare-${major}`);
    await cp(project, bare, { recursive: true });
    await rm(join(bare, 'node_modules/gammaloop/prebuilds'), { recursive: true });
    const { stdout, stderr } = await exec(node.path, ['require.cjs'], { cwd: bare, env: cleanEnvironment() });
    expect(JSON.parse(stdout)).toEqual({ backend: 'node', text: 'required' });
    expect(stderr).toMatch(/gammaloop.*node/);
    const served = await exec(node.path, ['serve.mjs'], { cwd: bare, env: cleanEnvironment() });
    expect(JSON.parse(served.stdout)).toEqual({
      fetch: { backend: 'node', status: 200, text: 'fetch /path' },
      app: { backend: 'node', status: 200, text: 'app /path' },
      node: { backend: 'node', status: 200, text: 'node /path' },
      sync: { code: 'ERR_GAMMALOOP_ADDON_MISSING' },
    });
    const hooked = await exec(node.path, ['-r', 'gammaloop/register', 'drop-in.mjs'], {
      cwd: bare,
      env: cleanEnvironment(),
    });
    expect(hooked.stderr).toBe('');
    expect(JSON.parse(hooked.stdout)).toMatchObject({
      text: 'app /path',
      dropIn: { native: 0, fallback: [{ reason: 'addon', count: 1 }] },
    });
  });
});

describe('the types resolve', () => {
  test.each([
    ['nodenext', 'nodenext'],
    ['bundler', 'esnext'],
  ])('with moduleResolution %s', { timeout: 120_000 }, async (moduleResolution, module) => {
    const directory = join(project, `types-${moduleResolution}`);
    await mkdir(directory);
    await writeFile(join(directory, 'package.json'), '{ "type": "module" }');
    await cp(join(programs, 'consumer.ts.txt'), join(directory, 'consumer.ts'));
    await cp(join(programs, 'drop-in-types.ts.txt'), join(directory, 'drop-in.ts'));
    const compilerOptions = {
      module,
      moduleResolution,
      target: 'es2022',
      lib: ['es2023', 'esnext.disposable', 'dom', 'dom.iterable'],
      strict: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules/@types')],
    };
    await writeFile(
      join(directory, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.ts', 'drop-in.ts'] }),
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const result = await exec(process.execPath, [tsc, '-p', directory], { cwd: directory }).catch((error) => error);
    expect(result.stdout).toBe('');
    expect(result.code ?? 0).toBe(0);
  });
});
