// node main.mjs FILE...: the CRC-32 of each file, and its five most frequent words. GAMMALOOP_NATIVE_TASKS names the folder of the libraries.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Runner } from '../../dist/runner/index.js'; // 'gammaloop/runner' in a project of yours

const folder = process.env.GAMMALOOP_NATIVE_TASKS ?? fileURLToPath(new URL('build', import.meta.url));
const runner = new Runner({ threads: 2 });

for (const file of process.argv.slice(2)) {
  const bytes = await readFile(file);
  // Both at once, on two threads. A crash in the second would end a child process, and reject that one promise.
  const [crc, words] = await Promise.allSettled([
    runner.native(join(folder, 'crc32.so'), 'crc32', bytes, { timeout: 10_000 }),
    runner.native(join(folder, 'words.so'), 'count_words', bytes, { timeout: 10_000 }),
  ]);
  console.log(`${file}: crc32 ${Buffer.from(crc.value).toString('hex')}`);
  if (words.status === 'rejected') console.log(`  ${words.reason.code}: ${words.reason.message}`);
  else console.log(Buffer.from(words.value).toString().split('\n').slice(0, 5).join('\n').replace(/^/gm, '  '));
}
await runner.close();
