// What the WebSocket servers of the bench share. Apps: ws-echo and ws-deflate send each message back, ws-publish to all that came by /subscribe.
export { app, ready } from './common.mjs';

/** The same for all that have these settings: nothing is kept from message to message, everything from a byte on is compressed. */
export const deflate = { serverNoContextTakeover: true, clientNoContextTakeover: true, threshold: 1 };
