import http from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { inherits } from 'node:util';
import { describe, expect, it } from 'vitest';
import { kArrived, kRequestClass, kRun } from '../../../lib/drop-in/contract.js';
import { IncomingMessage, isNativeRequest } from '../../../lib/drop-in/incoming-message.js';
import { makeRequest, TestSource } from './request-support.js';

const NodeIncomingMessage = http.IncomingMessage;

describe('the class', () => {
  it('stands below node’s, with its name, length and statics', () => {
    expect(Object.getPrototypeOf(IncomingMessage.prototype)).toBe(NodeIncomingMessage.prototype);
    expect(IncomingMessage.prototype.constructor).toBe(IncomingMessage);
    expect(IncomingMessage.name).toBe('IncomingMessage');
    expect(IncomingMessage.length).toBe(NodeIncomingMessage.length);
    expect((IncomingMessage as unknown as typeof Readable).from).toBe(Readable.from);
  });

  it('is the prototype of its requests, with nothing in between', () => {
    const { request } = makeRequest();
    expect(Object.getPrototypeOf(request)).toBe(IncomingMessage.prototype);
    expect(request).toBeInstanceOf(IncomingMessage);
    expect(request).toBeInstanceOf(NodeIncomingMessage);
    expect(request).toBeInstanceOf(Readable);
  });

  it('has node’s own messages as instances, a class derived from it has not', () => {
    class Derived extends IncomingMessage {}
    const nodes = new NodeIncomingMessage(null as unknown as Socket);
    expect(nodes instanceof IncomingMessage).toBe(true);
    expect(nodes instanceof Derived).toBe(false);
    expect(new Derived(null as unknown as Socket) instanceof Derived).toBe(true);
    expect(isNativeRequest(nodes)).toBe(false);
  });

  it('makes node’s own message where a program calls it', () => {
    const mine = new IncomingMessage(null as unknown as Socket);
    const nodes = new NodeIncomingMessage(null as unknown as Socket);
    const names = (object: object) => Reflect.ownKeys(object).map(String).sort();
    expect(names(mine)).toEqual(names(nodes));
    expect(isNativeRequest(mine)).toBe(false);
    expect({ ...mine, _readableState: null, _events: null }).toEqual({ ...nodes, _readableState: null, _events: null });
    mine.url = '/x';
    mine.headers = { a: 'b' };
    expect([mine.url, mine.headers, mine.trailers, mine.readable, mine.destroyed]).toEqual([
      '/x',
      { a: 'b' },
      {},
      true,
      false,
    ]);
  });

  it('is called on objects of other classes, as light-my-request and older libraries do', async () => {
    function Request(this: Readable) {
      (IncomingMessage as unknown as (this: object, socket: unknown) => void).call(this, { remoteAddress: '::1' });
    }
    inherits(Request, IncomingMessage);
    const made = new (Request as unknown as new () => InstanceType<typeof IncomingMessage>)();
    made._read = () => {};
    made.complete = true;
    made.push('body');
    made.push(null);
    const chunks: unknown[] = [];
    for await (const chunk of made) chunks.push(String(chunk));
    expect(chunks).toEqual(['body']);
    expect(made.socket.remoteAddress).toBe('::1');
  });

  it('makes instances of a program’s class, as a class and as a function', () => {
    class Custom extends IncomingMessage {
      readonly socketGiven: unknown;
      constructor(socket: Socket) {
        super(socket);
        this.socketGiven = socket;
      }
      get path() {
        return this.url?.split('?')[0];
      }
    }
    function Old(this: object, socket: Socket) {
      (IncomingMessage as unknown as (this: object, socket: Socket) => void).call(this, socket);
    }
    inherits(Old, IncomingMessage);
    const source = new TestSource({ [kRequestClass]: Custom });
    const { request } = makeRequest({ source, target: '/a?b' });
    expect(request).toBeInstanceOf(Custom);
    expect(isNativeRequest(request)).toBe(true);
    expect((request as unknown as Custom).path).toBe('/a');
    expect((request as unknown as Custom).socketGiven).toBe(source.socket);
    const old = makeRequest({ source: new TestSource({ [kRequestClass]: Old }), target: '/old' }).request;
    expect(old).toBeInstanceOf(Old);
    expect(old.url).toBe('/old');
    let received: unknown;
    old[kRun]((a: string, b: string) => (received = a + b), null, 'a', 'b');
    expect(received).toBe('ab');
    expect(isNativeRequest(new Custom(null as unknown as Socket))).toBe(false);
  });
});

describe('a request', () => {
  it('says what node’s says', () => {
    const { request } = makeRequest({ method: 'PUT', target: '/a?b=c', minor: 0 });
    expect(request.method).toBe('PUT');
    expect(request.url).toBe('/a?b=c');
    expect([request.httpVersion, request.httpVersionMajor, request.httpVersionMinor]).toEqual(['1.0', 1, 0]);
    expect([request.statusCode, request.statusMessage]).toEqual([null, null]);
    expect([request.complete, request.aborted, request.upgrade]).toEqual([false, false, false]);
    expect([request.rawTrailers, request.trailers]).toEqual([[], {}]);
    expect(makeRequest().request.httpVersion).toBe('1.1');
  });

  it('makes the socket when it is asked for', () => {
    const { request, source } = makeRequest();
    void request.headers;
    request.on('close', () => {});
    expect(source.sockets).toBe(0);
    expect(request.socket).toBe(source.socket);
    expect(request.connection).toBe(source.socket);
    expect((request as unknown as { client: unknown }).client).toBe(source.socket);
    expect(source.sockets).toBe(1);
  });

  it('takes other values for everything, as properties of its own', () => {
    const { request } = makeRequest();
    const changed = {
      method: 'PATCH',
      url: '/other',
      httpVersion: '3.0',
      httpVersionMajor: 3,
      httpVersionMinor: 0,
      complete: true,
      statusCode: 204,
      statusMessage: 'x',
      rawHeaders: ['A', 'b'],
      rawTrailers: ['C', 'd'],
      upgrade: true,
      aborted: true,
      joinDuplicateHeaders: true,
      socket: { own: 1 },
      client: null,
      headers: { own: 'yes' },
      trailers: { t: '1' },
      headersDistinct: { own: ['yes'] },
      trailersDistinct: { t: ['1'] },
      _consuming: true,
      _dumped: true,
    };
    Object.assign(request, changed);
    for (const [name, value] of Object.entries(changed)) expect(Reflect.get(request, name), name).toEqual(value);
    expect(request.connection).toEqual({ own: 1 });
  });

  it('lets programs define properties over its own', () => {
    const { request } = makeRequest();
    Object.defineProperty(request, 'headers', { value: { defined: 'here' } });
    Object.defineProperty(request, 'url', { get: () => '/got' });
    expect(request.headers).toEqual({ defined: 'here' });
    expect(request.url).toBe('/got');
  });

  it('is the same behind a prototype of a framework’s', () => {
    const { request } = makeRequest({ target: '/q', fields: ['Host', 'h'] });
    const extended = Object.create(IncomingMessage.prototype, {
      host: { get: (this_?: unknown) => this_ },
    }) as object;
    Object.setPrototypeOf(request, extended);
    expect(request.url).toBe('/q');
    expect(request.headers).toEqual({ host: 'h' });
    expect(request.readable).toBe(true);
    request.on('end', () => {});
    expect(Object.hasOwn(request, '_readableState')).toBe(true);
  });

  it('runs its handler in a scope of its own, then completes; thrown or not', () => {
    const { request } = makeRequest();
    expect(() =>
      request[kRun](
        () => {
          expect(request.complete).toBe(false);
          throw new Error('thrown');
        },
        null,
        0,
        0,
      ),
    ).toThrow('thrown');
    expect(request.complete).toBe(true);
    request[kArrived]();
    expect(request.complete).toBe(true);
  });
});
