// Runs in a project that has only the tarball installed: each app interface serves one request. Prints what came back as JSON.
import { serve } from 'gammaloop';

const apps = {
  fetch: { fetch: (request) => new Response(`fetch ${new URL(request.url).pathname}`) },
  app: {
    app: async (scope, receive, send) => {
      if (scope.type === 'lifespan') {
        while (true) {
          const { type } = await receive();
          await send({ type: `${type}.complete` });
          if (type === 'lifespan.shutdown') return;
        }
      }
      await send({ type: 'http.response.start', status: 200, headers: [] });
      await send({ type: 'http.response.body', body: new TextEncoder().encode(`app ${scope.path}`) });
    },
  },
  node: { node: (req, res) => res.end(`node ${req.url}`) },
  sync: { sync: 'data:text/javascript,export default ({ url }) => ({ body: "sync " + new URL(url).pathname })' },
};

const results = {};
for (const [name, options] of Object.entries(apps)) {
  let server;
  try {
    server = await serve({ ...options, port: 0, hostname: '127.0.0.1' });
  } catch ({ code }) {
    results[name] = { code };
    continue;
  }
  const response = await fetch(new URL('/path', server.url), { headers: { connection: 'close' } });
  const text = await response.text();
  results[name] = { backend: server.stats().backend, status: response.status, text };
  await server.close({ deadline: 5000 });
}
console.log(JSON.stringify(results));
