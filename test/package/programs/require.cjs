// The same package by require, which Node has for ESM from 20.19 on.
const { serve } = require('gammaloop');

async function main() {
  const server = await serve({ fetch: () => new Response('required'), port: 0, hostname: '127.0.0.1' });
  const response = await fetch(server.url, { headers: { connection: 'close' } });
  console.log(JSON.stringify({ backend: server.stats().backend, text: await response.text() }));
  await server.close({ deadline: 5000 });
}

main();
