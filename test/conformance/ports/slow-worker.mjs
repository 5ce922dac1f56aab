// A worker that is stopped from outside: answers 'slow' with the length of what it gets. Kind and url of its port as JSON in the first argument.
import { register } from 'node:module';

register(new URL('../../support/ts-loader.mjs', import.meta.url));
const { Responder } = await import('../../../lib/correlation/index.ts');
const { openPort } = await import('../../support/broker-ports.ts');
const { kind, url } = JSON.parse(process.argv[2]);
const port = openPort(kind, url);
new Responder(port, 'slow', ({ payload }) => payload.length);
await port.ready();
process.send('ready');
process.on('disconnect', () => process.exit());
