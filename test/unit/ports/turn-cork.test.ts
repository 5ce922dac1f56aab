import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { TurnCork } from '../../../lib/ports/turn-cork.js';

test('what is written in one turn, and by its promises, leaves in one piece and in order', async () => {
  const pieces: string[] = [];
  const stream = new Writable({
    decodeStrings: false,
    write: (chunk, _encoding, done) => {
      pieces.push(chunk);
      done();
    },
    writev: (chunks, done) => {
      pieces.push(chunks.map(({ chunk }) => chunk).join(''));
      done();
    },
  });
  const cork = new TurnCork(stream);
  const write = (letter: string): void => {
    cork.hold();
    stream.write(letter);
  };
  const turn = (letters: string) =>
    new Promise<void>((resolve) => {
      setImmediate(() => {
        for (const letter of letters) write(letter);
        setImmediate(resolve);
      });
    });
  await turn('abc');
  await turn('d');
  expect(pieces).toEqual(['abc', 'd']);
  Promise.resolve().then(() => write('e'));
  Promise.resolve().then(() => write('f'));
  await turn('');
  expect(pieces).toEqual(['abc', 'd', 'ef']);
  const ended = new Promise((resolve) => stream.once('finish', resolve));
  write('g');
  stream.end('h');
  await ended;
  expect(pieces.join('')).toBe('abcdefgh');
});
