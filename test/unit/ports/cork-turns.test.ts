import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { corkTurns } from '../../../lib/ports/cork-turns.js';

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
  corkTurns(stream);
  const turn = (letters: string) =>
    new Promise<void>((resolve) => {
      setImmediate(() => {
        for (const letter of letters) stream.write(letter);
        setImmediate(resolve);
      });
    });
  await turn('abc');
  await turn('d');
  expect(pieces).toEqual(['abc', 'd']);
  Promise.resolve().then(() => stream.write('e'));
  Promise.resolve().then(() => stream.write('f'));
  await turn('');
  expect(pieces).toEqual(['abc', 'd', 'ef']);
  const ended = new Promise((resolve) => stream.once('finish', resolve));
  stream.write('g');
  stream.end('h');
  await ended;
  expect(pieces.join('')).toBe('abcdefgh');
});
