// A worker of the cluster test. The hook comes by execArgv, as it does for `node --import gammaloop/register`.
import http from 'node:http';

const server = http.createServer((_req, res) => res.end(`worker ${process.pid}`));
server.listen(0, '127.0.0.1');
