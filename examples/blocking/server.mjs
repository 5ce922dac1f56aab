// Serves /hello, which is quick, and /report?ms=, which blocks: in the handler, or, with RUNNER=1 in the environment, in a worker thread.
// A child of demo.mjs, which it tells its address; it ends with it.
import { Response, serve } from 'gammaloop';
import { Runner } from 'gammaloop/runner';
import { report } from './work.mjs';

const runner =
  process.env.RUNNER === '1'
    ? new Runner({ module: new URL('./work.mjs', import.meta.url), threads: 1, niceIncrement: 10 })
    : null;
await runner?.start();

const server = await serve({
  port: 0,
  hostname: '127.0.0.1',
  fetch: async (request) => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname !== '/report') return new Response('hello\n');
    const ms = Number(searchParams.get('ms'));
    return new Response(runner === null ? report(ms) : await runner.run('report', [ms], { signal: request.signal }));
  },
});

process.once('disconnect', async () => {
  await server.close({ deadline: 0 });
  await runner?.close({ deadline: 0 });
});
process.send({ url: server.url, backend: server.backend });
