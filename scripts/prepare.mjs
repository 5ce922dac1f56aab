// Makes a clone ready to run: TypeScript to dist/, the addon to build/Release. npm runs it at `npm ci`, and `npm start` and
// `npm test` run it again, when it only brings up to date what has changed.
//
// GAMMALOOP_SKIP_ADDON=1 leaves the addon out, as `npm pack` after `npm run prebuild` may.
//
// Never fails for want of a compiler: then one line says that the `node` backend will serve, and why.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join, relative } from 'node:path';
import { buildNative } from './build-native.mjs';
import { addonSources } from './native-sources.mjs';
import { root } from './node-headers.mjs';

const require = createRequire(import.meta.url);
const logPath = join(root, '.cache/build-native.log');
const addonPath = join(root, 'build/Release/gammaloop.node');

function isInstalled(name) {
  try {
    return Boolean(require.resolve(`${name}/package.json`));
  } catch {
    return false;
  }
}

function onPath(program) {
  const isRunnable = (path) => {
    try {
      accessSync(path, constants.X_OK);
      return statSync(path).isFile();
    } catch {
      return false;
    }
  };
  if (program.includes('/')) return isRunnable(program);
  return (process.env.PATH ?? '')
    .split(delimiter)
    .some((directory) => directory && isRunnable(join(directory, program)));
}

/** The tools that node-gyp will call and that are not there. */
function missingTools() {
  const make = process.env.MAKE || (process.platform === 'freebsd' ? 'gmake' : 'make');
  const compiler = (process.env.CXX || (process.platform === 'linux' ? 'g++' : 'c++')).split(' ')[0];
  const missing = [make, compiler].filter((tool) => !onPath(tool));
  const pythons = [process.env.PYTHON, process.env.npm_config_python, 'python3', 'python'];
  if (!pythons.some((python) => python && onPath(python))) missing.push('python3');
  return missing;
}

/** What the log's last error says, in a few words. */
function reasonFrom(log, error) {
  const lines = log.split('\n');
  const compilerError = lines.find((line) => /\berror: |\*\*\* No rule/.test(line));
  const gypError = lines.findLast((line) => line.startsWith('gyp ERR! stack Error: '));
  return (compilerError ?? gypError?.slice('gyp ERR! stack Error: '.length) ?? error.message).trim();
}

async function prepareAddon() {
  let log = '';
  try {
    addonSources(process.platform);
    if (!isInstalled('node-gyp') || !isInstalled('node-addon-api'))
      throw new Error('node-gyp is not installed (npm ci --omit=dev?)');
    const missing = missingTools();
    if (missing.length > 0) throw new Error(`not found: ${missing.join(', ')}`);
    await buildNative({ onOutput: (chunk) => (log += chunk) });
  } catch (error) {
    const reason = log ? reasonFrom(log, error) : error.message;
    rmSync(addonPath, { force: true });
    log += `\n${error.stack}\nPATH=${process.env.PATH}\n`;
    console.log(
      `gammaloop: no native addon, the \`node\` backend will serve (${reason}; log: ${relative(root, logPath)})`,
    );
  }
  mkdirSync(join(root, '.cache'), { recursive: true });
  writeFileSync(logPath, log);
}

function prepareDist() {
  if (!isInstalled('typescript')) {
    console.log('gammaloop: dist/ is not built: typescript is not installed (npm ci --omit=dev?)');
    return;
  }
  const tsc = join(require.resolve('typescript/package.json'), '../bin/tsc');
  const result = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
  if (result.status !== 0) process.exit(result.status ?? 1);
}

// An unpacked tarball has neither: there is nothing to build there.
if (existsSync(join(root, 'tsconfig.build.json')) && existsSync(join(root, 'lib'))) {
  prepareDist();
  if (process.env.GAMMALOOP_SKIP_ADDON !== '1') await prepareAddon();
}
