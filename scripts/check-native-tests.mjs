// Whether the native tests and fuzz targets still compile: their text alone is looked at (-fsyntax-only), a second a file, as many at a time as there
// are processors; and only those of which something has changed, in them or in a header of ours that they include, since they last did.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { compilerArgs, includedFiles, listSources, root, run, whyExcluded } from './native-build.mjs';

const cachePath = join(root, '.cache/native-tests-checked.json');
const compiler = process.env.CXX || 'g++';

function readChecked() {
  try {
    return JSON.parse(readFileSync(cachePath, 'utf8'));
  } catch {
    return {};
  }
}

/** Resolves with whether all of them compile; what does not is shown by the compiler. */
export async function checkNativeTests() {
  const texts = new Map();
  const textOf = (path) => {
    if (!texts.has(path)) texts.set(path, readFileSync(path));
    return texts.get(path);
  };
  const before = readChecked();
  const checked = {};
  const stale = [];
  for (const source of listSources(join(root, 'test/native')).filter((path) => !whyExcluded(path))) {
    const args = [...compilerArgs(source), '-fsyntax-only', source];
    const hash = createHash('sha1').update([compiler, ...args].join(' '));
    for (const path of includedFiles(source)) hash.update(textOf(path));
    const unit = { name: relative(root, source), args, digest: hash.digest('hex') };
    if (before[unit.name] === unit.digest) checked[unit.name] = unit.digest;
    else stale.push(unit);
  }
  let isClean = true;
  const worker = async () => {
    for (let unit = stale.shift(); unit !== undefined; unit = stale.shift()) {
      if ((await run(compiler, unit.args, { cwd: root })) === 0) checked[unit.name] = unit.digest;
      else isClean = false;
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  mkdirSync(dirname(cachePath), { recursive: true });
  writeFileSync(cachePath, JSON.stringify(checked));
  return isClean;
}
