// For `npm run test:frameworks -- --only ws --register scripts/framework-suites/ws-package.mjs`: the tests of the ws package get `gammaloop/ws` where
// they ask for the package, its stream, its events, and the constants that they compare with. What they only use as tools (the frames of its
// Sender) stays its own, and so do the unit tests of its parts.
import Module from 'node:module';
import { dirname } from 'node:path';

const dist = new URL('../../dist/drop-in/ws/', import.meta.url);
const { default: WebSocket, createWebSocketStream } = await import(new URL('index.js', dist).href);
const { CloseEvent, ErrorEvent, Event, kHandler, MessageEvent } = await import(new URL('events.js', dist).href);
const { EMPTY_BUFFER } = await import(new URL('websocket.js', dist).href);

const replacements = {
  '..': () => WebSocket,
  '../': () => WebSocket,
  '../lib/stream': () => createWebSocketStream,
  '../lib/event-target': () => ({ CloseEvent, ErrorEvent, Event, MessageEvent }),
  '../lib/constants': (constants) => ({ ...constants, EMPTY_BUFFER, kListener: kHandler }),
};

const load = Module._load;
Module._load = function (request, parent, ...rest) {
  const loaded = load.call(this, request, parent, ...rest);
  const isTest = parent?.filename !== undefined && /[/\\]test$/.test(dirname(parent.filename));
  return isTest && Object.hasOwn(replacements, request) ? replacements[request](loaded) : loaded;
};
