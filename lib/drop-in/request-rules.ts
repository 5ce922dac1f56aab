/** What node's server decides about a request before (or instead of) 'request'. Each runs as `request[kRun](rule, connection, request, response)`. */
import type { HttpConnection } from './connection.js';
import type { IncomingMessage } from './incoming-message.js';
import type { ServerResponse } from './server-response.js';

const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i;

export function handle(this: HttpConnection, request: IncomingMessage, response: ServerResponse): void {
  this.server.emit('request', request, response);
}

/** `Host` is missing. */
export function refuseHostless(this: HttpConnection, _request: IncomingMessage, response: ServerResponse): void {
  response.writeHead(400, ['Connection', 'close']);
  response.end();
}

/** Beyond `maxRequestsPerSocket`. */
export function drop(this: HttpConnection, request: IncomingMessage, response: ServerResponse): void {
  this.server.emit('dropRequest', request, this.socket);
  response.writeHead(503);
  response.end();
}

/** With an `Expect`. */
export function meetExpectation(this: HttpConnection, request: IncomingMessage, response: ServerResponse): void {
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
