// A worker of the chaos test: answers 'job', and writes each work of 'work' into a ledger before it is acknowledged.
import { openSync, writeSync } from 'node:fs';
import { register } from 'node:module';

register(new URL('../../support/ts-loader.mjs', import.meta.url));
const { Responder } = await import('../../../lib/correlation/index.ts');
const { openPort } = await import('../../support/broker-ports.ts');
const { kind, url, options, ledger } = JSON.parse(process.argv[2]);
const port = openPort(kind, url, options);
const file = openSync(ledger, 'a');
new Responder(port, 'job', ({ payload }) => payload + 1, { concurrency: 256, queue: 100_000 });
new Responder(port, 'work', ({ payload }) => void writeSync(file, `${payload}\n`), { concurrency: 256 });
await port.ready(90_000);
process.send('ready');
process.on('disconnect', () => process.exit());
