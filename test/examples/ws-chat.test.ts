/** The chat on ws, on plain node and with gammaloop/register: what each of two guests is sent, byte by byte. */
import { beforeAll, describe, expect, test } from 'vitest';
import { backends } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';
import { installDependencies } from './dependencies.js';
import { ExampleProcess, type Mode, normalise } from './example-process.js';

const key = 'dGhlIHNhbXBsZSBub25jZQ==';
const upgrade = (path: string, fields: string) =>
  `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${fields}\r\n`;
const handshake = upgrade('/chat', `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n`);

const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9 };

/** A masked frame, as clients send them. */
function frame(code: number, payload: string | Buffer, isFinal = true): Buffer {
  const mask = Buffer.from([1, 2, 3, 4]);
  const bytes = Buffer.from(payload).map((byte, at) => byte ^ (mask[at % 4] as number));
  const head = Buffer.from([(isFinal ? 0x80 : 0) | code, 0x80 | (bytes.length < 126 ? bytes.length : 126)]);
  const length = Buffer.alloc(bytes.length < 126 ? 0 : 2);
  if (length.length > 0) length.writeUInt16BE(bytes.length);
  return Buffer.concat([head, length, mask, bytes]);
}

/** Lets both guests speak, and gives everything that was sent to anybody. */
async function converse(mode: Mode): Promise<Record<string, string>> {
  const chat = await ExampleProcess.start('ws-chat', mode);
  const answers: Record<string, string> = {};
  const record = async (title: string, client: RawClient) => {
    answers[title] = normalise(await client.rest(), chat.port);
    client.socket.destroy();
  };
  const open = async (wire: string) => (await RawClient.open(chat.port)).send(wire);
  const heard = (client: RawClient, text: string) =>
    client.until(text, () => (client.pending.includes(text) ? true : null));

  await record('the page', await open('GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'));
  await record('its head', await open('HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'));
  await record('no page', await open('GET /none HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n'));
  await record('another path', await open(handshake.replace('/chat', '/none')));
  await record('another version', await open(handshake.replace('Version: 13', 'Version: 7')));
  await record('no key', await open(upgrade('/chat', 'Sec-WebSocket-Version: 13\r\n')));

  const first = await open(handshake);
  await heard(first, 'guest 1 has come');
  first.send(frame(opcode.text, 'hello'));
  await heard(first, 'guest 1: hello');
  // The first frame comes together with the handshake: it is the upgrade's head.
  const second = await RawClient.open(chat.port);
  second.send(Buffer.concat([Buffer.from(handshake), frame(opcode.text, 'early')]));
  await heard(first, 'guest 2: early');
  second.send(Buffer.concat([frame(opcode.text, 'in two ', false), frame(opcode.ping, 'pong?')]));
  await heard(second, 'pong?');
  second.send(frame(opcode.continuation, 'parts'));
  await heard(first, 'guest 2: in two parts');
  second.send(frame(opcode.text, 'x'.repeat(4096)));
  await heard(first, 'guest 2: xxxx');
  second.send(frame(opcode.text, 'x'.repeat(4097)));
  await record('the guest who said too much', second);
  await heard(first, 'guest 2 has left');

  const third = await open(handshake);
  await heard(first, 'guest 3 has come');
  third.send(frame(opcode.binary, Buffer.from([1, 2, 3])));
  await heard(third, 'text only');
  third.send(frame(opcode.close, Buffer.from([0x03, 0xeb])));
  await record('the guest who sent binary', third);
  await heard(first, 'guest 3 has left');

  const fourth = await open(handshake);
  await heard(first, 'guest 4 has come');
  fourth.reset();
  await heard(first, 'guest 4 has left');
  first.send(frame(opcode.close, Buffer.from([0x03, 0xe8])));
  await record('the guest who stayed', first);
  await chat.stop();
  return answers;
}

describe('examples/ws-chat', () => {
  let plain: Record<string, string>;
  beforeAll(async () => {
    installDependencies('ws-chat');
    plain = await converse('plain');
  }, 120_000);

  test('works on plain node', () => {
    expect(plain['the page']).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*<title>Chat<\/title>/);
    expect(plain['the guest who stayed']).toMatch(/^HTTP\/1\.1 101 [\s\S]*guest 1: hello[\s\S]*guest 4 has left/);
  });

  test.each(backends)('says the same with the hook, backend %s', async (backend) => {
    expect(await converse(backend)).toEqual(plain);
  });
});
