/** examples/chat in a process of its own, talked to by plain WebSockets: rooms, history, what is refused, who does not read. */
import { afterEach, describe, expect, test } from 'vitest';
import { frame, opcodes, WsClient } from '../conformance/ws/wire.js';
import { backends } from '../support/backends.js';
import { ExampleProcess } from '../support/example-process.js';

interface Told {
  room?: string;
  people?: string[];
  [key: string]: unknown;
}

describe.each(backends)('examples/chat on %s', (backend) => {
  const clients: WsClient[] = [];
  afterEach(() => {
    for (const { socket } of clients.splice(0)) socket.destroy();
  });

  const start = () => new ExampleProcess('chat/server.mjs', backend).started();
  const portOf = (chat: ExampleProcess) => Number(new URL(chat.url).port);

  class Guest {
    readonly client: WsClient;
    constructor(client: WsClient) {
      this.client = client;
    }
    say(message: unknown): this {
      this.client.send(frame(opcodes.text, JSON.stringify(message)));
      return this;
    }
    async next(): Promise<Told> {
      return JSON.parse(await this.client.text()) as Told;
    }
    /** What comes before it is dropped. */
    async until(wanted: (told: Told) => boolean): Promise<Told> {
      for (;;) {
        const told = await this.next();
        if (wanted(told)) return told;
      }
    }
  }

  async function enter(chat: ExampleProcess, name: string, ...rooms: string[]): Promise<Guest> {
    const client = await WsClient.open(portOf(chat), { path: `/?name=${encodeURIComponent(name)}` });
    clients.push(client);
    const guest = new Guest(client);
    for (const room of rooms) guest.say({ join: room });
    return guest;
  }

  test('what is said in a room is heard there, by all in the same order, and not elsewhere', async () => {
    const chat = await start();
    const ada = await enter(chat, 'Ada', 'lobby');
    expect(await ada.next()).toEqual({ hello: 'Ada' });
    expect(await ada.next()).toEqual({ joined: 'lobby', people: ['Ada'], history: [] });
    const bob = await enter(chat, 'Bob', 'lobby', 'garden');
    await bob.until(({ joined }) => joined === 'garden');
    expect(await ada.next()).toEqual({ room: 'lobby', came: 'Bob', people: ['Ada', 'Bob'] });
    ada.say({ say: 'Grüße <b>', room: 'lobby' });
    bob.say({ say: 'only here', room: 'garden' }).say({ say: 'hello', room: 'lobby' });
    const heard = async (guest: Guest) => {
      const said = [];
      while (said.length < 2) {
        const told = await guest.next();
        if (told.room === 'lobby' && told.said !== undefined) said.push([told.name, told.said, typeof told.time]);
        else expect(guest === bob && told.said === 'only here').toBe(true);
      }
      return said;
    };
    const [byAda, byBob] = await Promise.all([heard(ada), heard(bob)]);
    expect(byAda).toEqual(byBob);
    expect([...byAda].sort()).toEqual([
      ['Ada', 'Grüße <b>', 'string'],
      ['Bob', 'hello', 'string'],
    ]);
  });

  test('who comes later gets the last messages; who goes is reported, however it went', async () => {
    const chat = await start();
    const ada = await enter(chat, 'Ada', 'lobby');
    for (let i = 0; i < 5; i++) ada.say({ say: `line ${i}`, room: 'lobby' });
    await ada.until(({ said }) => said === 'line 4');
    const second = await enter(chat, 'Ada', 'lobby');
    expect(await second.next()).toEqual({ hello: 'Ada 2' });
    const joined = await second.next();
    expect(joined.people).toEqual(['Ada', 'Ada 2']);
    expect((joined['history'] as Told[]).map(({ said }) => said)).toEqual([0, 1, 2, 3, 4].map((i) => `line ${i}`));
    second.client.socket.resetAndDestroy();
    expect(await ada.until(({ went }) => went !== undefined)).toEqual({
      room: 'lobby',
      went: 'Ada 2',
      people: ['Ada'],
    });
    ada.say({ leave: 'lobby' });
    expect(await ada.next()).toEqual({ left: 'lobby' });
    ada.say({ join: 'lobby' });
    expect(await ada.next()).toEqual({ joined: 'lobby', people: ['Ada'], history: [] }); // the room went with its last guest
  });

  test('what is refused, and goes on', async () => {
    const chat = await start();
    const ada = await enter(chat, 'Ada', 'lobby');
    await ada.until(({ joined }) => joined === 'lobby');
    const refused = [
      { join: 'two words' },
      { join: '' },
      { say: 'hello', room: 'elsewhere' },
      { leave: 'elsewhere' },
      { say: ' ', room: 'lobby' },
      { say: 'x'.repeat(1001), room: 'lobby' },
      { say: 5, room: 'lobby' },
      null,
    ];
    for (const message of refused) {
      ada.say(message);
      expect(await ada.next()).toEqual({ refused: expect.any(String) });
    }
    for (let i = 0; i < 20; i++) ada.say({ say: 'again', room: 'lobby' });
    expect(await ada.until(({ refused }) => refused !== undefined)).toEqual({ refused: 'Not so fast, please' });
  });

  test('who may not come in, and what ends a visit', async () => {
    const chat = await start();
    const attempt = async (path: string, headers = '') => {
      const client = await WsClient.connect(portOf(chat));
      clients.push(client);
      await client.upgrade({ path, headers }).catch((error: Error) => error);
      return client.head.slice(9, 12);
    };
    expect(await attempt('/?name=')).toBe('400');
    expect(await attempt(`/?name=${'x'.repeat(25)}`)).toBe('400');
    expect(await attempt('/?name=a%00b')).toBe('400');
    expect(await attempt('/?name=Eve', 'Origin: http://elsewhere.example\r\n')).toBe('403');
    expect(await attempt('/?name=Eve', 'Origin: null\r\n')).toBe('403');
    expect(await attempt('/?name=Ada', 'Origin: http://test\r\n')).toBe('101');
    const binary = await enter(chat, 'Ada');
    binary.client.send(frame(opcodes.binary, 'x'));
    expect(await binary.client.closed({ answers: true })).toEqual({ code: 1003, reason: 'text only' });
    const large = await enter(chat, 'Ada');
    large.client.send(frame(opcodes.text, 'x'.repeat(4097)));
    expect((await large.client.closed())?.code).toBe(1009);
    expect((await fetch(`${chat.url}/none`)).status).toBe(404);
  });

  test('a signal says goodbye to all by 1001', async () => {
    const chat = await start();
    const guests = await Promise.all(['Ada', 'Bob'].map((name) => enter(chat, name, 'lobby')));
    await Promise.all(guests.map((guest) => guest.until(({ joined }) => joined === 'lobby')));
    chat.kill('SIGTERM');
    for (const { client } of guests) expect((await client.closed({ answers: true }))?.code).toBe(1001);
    expect([await chat.exited, chat.stderr]).toEqual([0, '']);
  });
});
