// The server of the soak: an app that knows nothing of gammaloop. It reports by IPC when it is asked: memory after a collection, open
// descriptors, and what became of its requests.
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import http from 'node:http';

const counts = { requests: 0, closed: 0, finished: 0, upgrades: 0, upgradesClosed: 0, thrown: 0, clientErrors: 0 };
const block = Buffer.alloc(64 * 1024, 'gammaloop ');

const routes = {
  '/hello': (_req, res) => {
    res.setHeader('Content-Type', 'text/plain');
    res.end('hello');
  },
  '/hash': (req, res) => {
    const hash = createHash('sha1');
    req.on('error', () => {});
    req.pipe(hash).on('finish', () => res.end(hash.digest('hex')));
  },
  // 1 MiB, as fast as the client reads.
  '/large': (_req, res) => {
    let left = 16;
    const more = () => {
      while (left > 0) {
        left--;
        if (!res.write(block)) break;
      }
      if (left === 0) res.end();
    };
    res.on('drain', more);
    more();
  },
  '/later': (_req, res) => setImmediate(() => res.end('later')),
  '/throw': (_req, res) => {
    throw Object.assign(new Error('soak'), { response: res });
  },
  '/destroy': (_req, res) => {
    res.write('part');
    res.destroy();
  },
};

process.on('uncaughtException', (error) => {
  if (error.response === undefined) throw error;
  counts.thrown++;
  error.response.socket.destroy();
});

const server = http.createServer((req, res) => {
  counts.requests++;
  res.on('finish', () => counts.finished++);
  res.on('close', () => counts.closed++);
  routes[req.url](req, res);
});
server.on('clientError', (_error, socket) => {
  counts.clientErrors++;
  if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
});
server.on('upgrade', (_req, socket, head) => {
  counts.upgrades++;
  socket.on('close', () => counts.upgradesClosed++);
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.write(head);
  socket.pipe(socket);
});
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));

process.on('message', (question) => {
  if (question === 'close') {
    server.close();
    server.closeAllConnections();
    process.disconnect();
    return;
  }
  // Twice: what finalizers let go of is gone after the second.
  globalThis.gc();
  setImmediate(() => {
    globalThis.gc();
    const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
    server.getConnections((_error, connections) => {
      const descriptors = process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
      process.send({ rss, heapUsed, external, arrayBuffers, descriptors, connections, counts });
    });
  });
});
