/** addReader and addWriter on Node's loop. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { addReader, addWriter, Readiness, removeReader, removeWriter } from '../../../lib/selector/index.js';
import { Pipe } from './support.js';

const used: Pipe[] = [];
function pipe(): Pipe {
  const made = new Pipe();
  used.push(made);
  return made;
}

afterEach(() => {
  for (const { readEnd, writeEnd } of used.splice(0)) {
    for (const fd of [readEnd, writeEnd]) {
      removeReader(fd);
      removeWriter(fd);
    }
  }
});

test('a reader is called while there is something to read', async () => {
  const source = pipe();
  const seen = await new Promise<string[]>((done) => {
    const texts: string[] = [];
    addReader(source.readEnd, (readiness) => {
      expect(readiness).toBe(Readiness.Readable);
      texts.push(source.read());
      if (texts.length === 3) done(texts);
      else source.write(`${texts.length}`);
    });
    source.write('0');
  });
  expect(seen).toEqual(['0', '1', '2']);
  expect(removeReader(source.readEnd)).toBe(true);
  expect(removeReader(source.readEnd)).toBe(false);
});

test('reader and writer stand beside each other; the newer replaces the older', async () => {
  const source = pipe();
  let replaced = 0;
  addWriter(source.writeEnd, () => replaced++);
  await new Promise<void>((done) => {
    addWriter(source.writeEnd, () => {
      removeWriter(source.writeEnd);
      done();
    });
  });
  expect(replaced).toBe(0);
});

test('keeps the async context, and one that throws stops no other', async () => {
  const storage = new AsyncLocalStorage<string>();
  const source = pipe();
  const other = pipe();
  const uncaught: unknown[] = [];
  const listeners = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  process.on('uncaughtException', (error) => uncaught.push(error));
  try {
    const context = new Promise<string | undefined>((done) => {
      storage.run('mine', () =>
        addWriter(other.writeEnd, () => {
          removeWriter(other.writeEnd);
          done(storage.getStore());
        }),
      );
    });
    addWriter(source.writeEnd, () => {
      removeWriter(source.writeEnd);
      throw new Error('mine');
    });
    expect(await context).toBe('mine');
    await new Promise((done) => setImmediate(done));
    expect(uncaught).toMatchObject([{ message: 'mine' }]);
  } finally {
    process.removeAllListeners('uncaughtException');
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
});

test('a descriptor that was closed first gets one last call', async () => {
  const source = pipe();
  const calls: number[] = [];
  await new Promise<void>((done) => {
    addReader(source.readEnd, (readiness) => {
      calls.push(readiness);
      done();
    });
    closeSync(source.readEnd);
  });
  expect(calls).toEqual([Readiness.Closed]);
  expect(removeReader(source.readEnd)).toBe(false);
});

test('refuses what is no function, and what cannot be watched', () => {
  const source = pipe();
  expect(() => addReader(source.readEnd, null as never)).toThrow(
    expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }),
  );
  for (const nothing of [null, undefined, -1, {}]) {
    const wrong = expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' });
    expect(() => addReader(nothing as never, () => {})).toThrow(wrong);
    expect(() => removeWriter(nothing as never)).toThrow(wrong);
  }
  expect(() => addReader(987_654, () => {})).toThrow(
    expect.objectContaining({ code: 'ERR_GAMMALOOP_SELECTOR_BAD_DESCRIPTOR' }),
  );
});

test('a tty is read; the process lives as long as there is a reader, and no longer', async () => {
  const loader = new URL('../../support/ts-loader.mjs', import.meta.url).href;
  const index = new URL('../../../lib/selector/index.ts', import.meta.url).href;
  const program = `
    import { readSync } from 'node:fs';
    import { addReader, removeReader } from ${JSON.stringify(index)};
    addReader(0, () => {
      const bytes = Buffer.alloc(100);
      console.log('got ' + bytes.toString('utf8', 0, readSync(0, bytes)).trim() + ' tty ' + process.stdin.isTTY);
      removeReader(0);
      process.stdin.unref();
    });
    console.log('waiting');`;
  // A pseudo-terminal, which node itself cannot open.
  const launcher = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)';
  const args = ['--no-warnings', '--import', loader, '--input-type=module', '-e', program];
  const child = spawn('python3', ['-c', launcher, process.execPath, ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (!output.includes('waiting') && (output + text).includes('waiting')) child.stdin.write('line\n');
    output += text;
  });
  const [code] = await once(child, 'close');
  expect(output).toContain('got line tty true');
  expect(code).toBe(0);
});
