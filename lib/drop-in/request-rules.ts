/** What node's server decides about a request before (or instead of) 'request'. Each runs as `request[kRun](rule, connection, request, response)`. */
import { hasHeader } from '../bridge/head-text.js';
import { HEADER_NAMES, REQUEST_EXPECT_CONTINUE_FLAG, REQUEST_EXPECT_OTHER_FLAG } from '../bridge/records.js';
import type { HttpConnection } from './connection.js';
import type { IncomingMessage } from './incoming-message.js';
import type { Server } from './server.js';
import type { ServerResponse } from './server-response.js';

const EXPECT_FLAGS = REQUEST_EXPECT_CONTINUE_FLAG | REQUEST_EXPECT_OTHER_FLAG;
const HOST = HEADER_NAMES.indexOf('host');
const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i;

type Rule = (this: HttpConnection, request: IncomingMessage, response: ServerResponse) => void;

/** For HTTP/1.1. `text`, `headerCount`: its head (bridge/head-text.ts). `requestCount`: on this connection, this one included. */
export function ruleFor(
  server: Server,
  response: ServerResponse,
  text: string,
  headerCount: number,
  flags: number,
  requestCount: number,
): Rule {
  if (server.requireHostHeader && !hasHeader(text, headerCount, HOST)) return refuseHostless;
  const { maxRequestsPerSocket: most } = server;
  if (typeof most === 'number' && most > 0) {
    response.maxRequestsOnConnectionReached = most <= requestCount;
    if (most < requestCount) return drop;
  }
  return (flags & EXPECT_FLAGS) === 0 ? handle : meetExpectation;
}

export function handle(this: HttpConnection, request: IncomingMessage, response: ServerResponse): void {
  this.server.emit('request', request, response);
}

/** `Host` is missing. */
function refuseHostless(this: HttpConnection, _request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(400, ['Connection', 'close']);
  response.end();
}

/** Beyond `maxRequestsPerSocket`. */
function drop(this: HttpConnection, request: IncomingMessage, response: ServerResponse): void {
  this.server.emit('dropRequest', request, this.socket);
  response.writeHead(503);
  response.end();
}

/** With an `Expect`. */
function meetExpectation(this: HttpConnection, request: IncomingMessage, response: ServerResponse): void {
  const { server } = this;
  if (CONTINUE.test(request.headers.expect ?? '')) {
    response._expect_continue = true;
    if (server.listenerCount('checkContinue') > 0) {
      server.emit('checkContinue', request, response);
    } else {
      response.writeContinue();
      server.emit('request', request, response);
    }
  } else if (server.listenerCount('checkExpectation') > 0) {
    server.emit('checkExpectation', request, response);
  } else {
    response.writeHead(417);
    response.end();
  }
}

/** The option `optimizeEmptyRequests` asks. */
export function hasBodyHeaders({ headers }: IncomingMessage): boolean {
  return 'content-length' in headers || 'transfer-encoding' in headers;
}
