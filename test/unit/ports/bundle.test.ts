import { expect, test } from 'vitest';
import { createEnvelope, type Envelope } from '../../../lib/correlation/index.js';
import { bundle } from '../../../lib/ports/bundle.js';
import { decodeFrame, encodeFrame } from '../../../lib/ports/frame.js';

const sending = (subject: string, id: number, bytes = 10) => {
  const kind = subject.startsWith('_inbox.') ? 'reply' : 'request';
  const envelope = createEnvelope({ kind, id, subject, payload: new Uint8Array(bytes) });
  return { frame: encodeFrame(envelope, 0), envelope };
};

/** Subject and ids of each message. */
const told = (messages: readonly { frame: Buffer }[]) =>
  messages.map(({ frame }) => {
    const envelopes: Envelope[] = [];
    for (let at = 0; at < frame.length; ) {
      const decoded = decodeFrame(frame, 0, at);
      if (decoded === null) throw new Error('not decoded');
      expect(decoded.payloadError).toBeUndefined();
      envelopes.push(decoded.envelope);
      at = decoded.end;
    }
    return [envelopes[0]?.subject, ...envelopes.map(({ id }) => id)];
  });

test('replies to one inbox leave together, everything else by itself', () => {
  const subjects = ['_inbox.a', 'work', '_inbox.b', '_inbox.a', 'work', '_inbox.a', '_control.work'];
  const messages = bundle(
    subjects.map((subject, id) => sending(subject, id)),
    Number.POSITIVE_INFINITY,
  );
  expect(told(messages)).toEqual([
    ['_inbox.a', 0, 3, 5],
    ['work', 1],
    ['_inbox.b', 2],
    ['work', 4],
    ['_control.work', 6],
  ]);
});

test('no message grows beyond the limit, and the order stays', () => {
  const sizes = [1000, 1000, 5000, 1000, 70_000, 1000, 1000];
  const replies = sizes.map((bytes, id) => sending('_inbox.a', id, bytes));
  expect(told(bundle(replies, 3000))).toEqual([
    ['_inbox.a', 0, 1],
    ['_inbox.a', 2],
    ['_inbox.a', 3],
    ['_inbox.a', 4],
    ['_inbox.a', 5, 6],
  ]);
  expect(told(bundle(replies, Number.POSITIVE_INFINITY))).toEqual([
    ['_inbox.a', 0, 1, 2, 3],
    ['_inbox.a', 4],
    ['_inbox.a', 5, 6],
  ]);
  const [alone] = bundle(replies.slice(4, 5), 3000);
  expect(alone).toBe(replies[4]);
});
