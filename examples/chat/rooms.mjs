// Rooms: who is in which, and what was said there last. A room is a topic of the server: its guests have subscribed to it, and what is
// published to it is encoded once and sent to all of them.
//
// A guest sends { join: room }, { leave: room } or { say: text, room }. It is sent
//   { hello: name }                            once: under which name it is known
//   { joined: room, people, history }          and { left: room }
//   { room, came: name, people }               and { room, went: name, people }: to all in the room
//   { room, name, said: text, time }           to all in the room, also to who said it
//   { refused: why }
import { Response } from 'gammaloop';

const NAME = /^[^\p{C}\s](?:[^\p{C}\n]{0,22}[^\p{C}\s])?$/u;
const ROOM = /^[\p{L}\p{N}][\p{L}\p{N}_-]{0,23}$/u;
const MAX_TEXT_CHARS = 1000;
const MAX_ROOMS = 200;
const MAX_ROOMS_OF_GUEST = 10;
const KEPT_MESSAGES = 50;
/** Of one guest: so many messages at once, and so many a second in the long run. */
const BURST = 10;
const PER_SECOND = 3;

const topicOf = (room) => `room:${room}`;
const send = (ws, message) => ws.send(JSON.stringify(message));

export class Rooms {
  /** By name: { people: Map(ws -> name), history: [] }. A room goes with its last guest. */
  #rooms = new Map();
  #names = new Set();
  #publish;

  /** `publish(topic, text)`: the server's. */
  constructor(publish) {
    this.#publish = publish;
  }

  /** The upgrade hook. Browsers let any page connect to any server: other pages than ours stay outside. */
  admit(request) {
    const origin = request.headers.get('origin');
    if (origin !== null && (!URL.canParse(origin) || new URL(origin).host !== request.headers.get('host')))
      return false;
    const name = new URL(request.url).searchParams.get('name')?.trim() ?? '';
    if (!NAME.test(name)) return new Response('A name of 1 to 24 characters is needed: /?name=Ada\n', { status: 400 });
    return { data: { name, rooms: new Set(), credit: BURST, creditAt: performance.now() } };
  }

  open(ws) {
    const { name } = ws.data;
    for (let i = 2; this.#names.has(ws.data.name); i++) ws.data.name = `${name} ${i}`;
    this.#names.add(ws.data.name);
    send(ws, { hello: ws.data.name });
  }

  hear(ws, text) {
    const why = this.#mayGoOn(ws.data) ? this.#carryOut(ws, text) : 'Not so fast, please';
    if (why !== undefined) send(ws, { refused: why });
  }

  close(ws) {
    this.#names.delete(ws.data.name);
    for (const room of ws.data.rooms) this.#leave(ws, room);
  }

  /** Why not; undefined where it was done. */
  #carryOut(ws, text) {
    const message = parse(text);
    if (typeof message.join === 'string') return this.#join(ws, message.join);
    if (!ws.data.rooms.has(message.leave ?? message.room)) return 'You are not in that room';
    if (message.leave !== undefined) {
      ws.unsubscribe(topicOf(message.leave));
      this.#leave(ws, message.leave);
      send(ws, { left: message.leave });
      return undefined;
    }
    return this.#say(ws, message.room, message.say);
  }

  #join(ws, room) {
    const { name, rooms } = ws.data;
    if (!ROOM.test(room)) return 'A room is named by 1 to 24 letters, digits, - and _';
    if (rooms.has(room)) return undefined;
    if (rooms.size === MAX_ROOMS_OF_GUEST) return `Nobody is in more than ${MAX_ROOMS_OF_GUEST} rooms`;
    if (!this.#rooms.has(room)) {
      if (this.#rooms.size === MAX_ROOMS) return 'All rooms are taken';
      this.#rooms.set(room, { people: new Map(), history: [] });
    }
    const { people, history } = this.#rooms.get(room);
    people.set(ws, name);
    rooms.add(room);
    // Who is there already hears of the guest; the guest gets all of it, and subscribes after that.
    this.#tell(room, { came: name, people: [...people.values()] });
    send(ws, { joined: room, people: [...people.values()], history });
    ws.subscribe(topicOf(room));
    return undefined;
  }

  #leave(ws, room) {
    const { people } = this.#rooms.get(room);
    people.delete(ws);
    ws.data.rooms.delete(room);
    if (people.size === 0) this.#rooms.delete(room);
    else this.#tell(room, { went: ws.data.name, people: [...people.values()] });
  }

  #say(ws, room, text) {
    if (typeof text !== 'string' || text.trim() === '') return 'Say something';
    if (text.length > MAX_TEXT_CHARS) return `At most ${MAX_TEXT_CHARS} characters at a time, please`;
    const said = { name: ws.data.name, said: text, time: new Date().toISOString() };
    const { history } = this.#rooms.get(room);
    history.push(said);
    if (history.length > KEPT_MESSAGES) history.shift();
    this.#tell(room, said);
    return undefined;
  }

  #tell(room, message) {
    this.#publish(topicOf(room), JSON.stringify({ room, ...message }));
  }

  #mayGoOn(guest) {
    const now = performance.now();
    guest.credit = Math.min(BURST, guest.credit + ((now - guest.creditAt) / 1000) * PER_SECOND);
    guest.creditAt = now;
    if (guest.credit < 1) return false;
    guest.credit--;
    return true;
  }
}

function parse(text) {
  try {
    const message = JSON.parse(text);
    return typeof message === 'object' && message !== null ? message : {};
  } catch {
    return {};
  }
}
