/** The native tasks in C and in Rust: built as the README says, and run. */
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Runner } from '../../lib/runner/index.js';
import { root } from '../architecture/sources.js';

const example = join(root, 'examples/native-task');
const missing = ['make', process.env['CC'] ?? 'cc', process.env['RUSTC'] ?? 'rustc'].filter((tool) => {
  try {
    execFileSync(tool, ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    return true;
  }
});
const install = `${missing.join(', ')} not found: the example is built by make, a C compiler and rustc (apt-get install make gcc rustc)`;
const testExample = missing.length > 0 && !process.env['CI'] ? test.skipIf(true) : test;
if (missing.length > 0) console.warn(install);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gammaloop-native-task-'));
  if (missing.length === 0) await promisify(execFile)('make', ['-C', example, `OUT=${folder}`]);
  else if (process.env['CI']) throw new Error(install);
}, 120_000);
afterAll(() => rm(folder, { recursive: true, force: true }));

testExample('crc32, in C, gives what zlib gives', async () => {
  const runner = new Runner({ threads: 2 });
  const library = join(folder, 'crc32.so');
  const known = Buffer.from('123456789');
  expect(Buffer.from(await runner.native(library, 'crc32', known)).toString('hex')).toBe('cbf43926');
  const progress: number[] = [];
  const bytes = Uint8Array.from({ length: 9_000_001 }, (_, i) => (i * i) >> 3);
  for (const size of [0, 1, 7, 8, 1024, 9_000_001]) {
    const part = bytes.subarray(0, size);
    const crc = Buffer.from(await runner.native(library, 'crc32', part, { onProgress: (done) => progress.push(done) }));
    expect(crc.readUInt32BE()).toBe(crc32(part));
  }
  expect(progress.every((done, i) => done > (progress[i - 1] ?? 0) && done <= 1)).toBe(true);
  await runner.close();
});

testExample('count_words, in Rust, and what it refuses', async () => {
  const runner = new Runner({ threads: 1 });
  const library = join(folder, 'words.so');
  const lines = await runner.native(library, 'count_words', Buffer.from('to be or not\tto be\n żółw'));
  expect(Buffer.from(lines).toString()).toBe('2 be\n2 to\n1 not\n1 or\n1 żółw\n');
  const many = Array.from({ length: 50_000 }, (_, i) => `word${i}`).join(' ');
  const long = await runner.native(library, 'count_words', Buffer.from(many));
  expect(Buffer.from(long).toString().split('\n').length).toBe(50_001);
  await expect(runner.native(library, 'count_words', new Uint8Array([0xff]))).rejects.toMatchObject({
    code: 'ERR_GAMMALOOP_NATIVE_TASK',
    taskCode: 1,
    message: expect.stringContaining('not UTF-8'),
  });
  await runner.close();
});

testExample('the program of the README', async () => {
  const file = join(folder, 'text');
  await writeFile(file, 'one two two');
  const { stdout } = await promisify(execFile)(process.execPath, [join(example, 'main.mjs'), file], {
    env: { ...process.env, GAMMALOOP_NATIVE_TASKS: folder },
  });
  expect(stdout.split('\n').slice(1)).toEqual(['  2 two', '  1 one', '  ', '']);
  expect(stdout).toMatch(/: crc32 [0-9a-f]{8}\n/);
});
