// A worker of durable work in a process of its own: kind, url and options of its port as JSON in the first argument. Tells over IPC what it does.
import { register } from 'node:module';

register(new URL('../../support/ts-loader.mjs', import.meta.url));
const { Responder } = await import('../../../lib/correlation/index.ts');
const { openPort } = await import('../../support/broker-ports.ts');
const { kind, url, options } = JSON.parse(process.argv[2]);
const port = openPort(kind, url, options);
new Responder(port, 'work', ({ payload }, { signal }) => {
  process.send({ began: payload });
  if (payload === 'die') process.kill(process.pid, 'SIGKILL');
  if (payload === 'hang')
    return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  process.send({ did: payload });
  return `did ${payload}`;
});
await port.ready();
process.send({ ready: true });
process.on('disconnect', () => process.exit());
