// Connections of gammaloop/net opened, used and closed at random, against a server in another process: every byte is checked, and nothing is left.
//
//   npm run build:ts && npm run stress:net -- [--connections 10000] [--seconds 60] [--backend native]
//
// A connection, with a plain or a buffered protocol on either side, sends blocks of random sizes, gets them back, and ends in one of four ways: close, half-close, abort, reset. What came back of it has to be what was
// sent, all of it where it ended in order. At the end no connection, and no descriptor, is open on either side.
import { fork } from 'node:child_process';
import { createHash, randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connectProtocol, listen } from '../dist/net/index.js';

const { values } = parseArgs({
  options: {
    connections: { type: 'string', default: '10000' },
    seconds: { type: 'string', default: '60' },
    backend: { type: 'string', default: 'native' },
    serve: { type: 'boolean', default: false },
  },
});
const { backend } = values;
/** The engine's own: its poller, its waker, one in reserve. */
const ENGINE_DESCRIPTORS = 3;
const openSockets = () => readdirSync('/proc/self/fd').length;

/** Connections end within this after the last was opened, or never. */
const END_SECONDS = 30;

/** What is open beyond `before`, once connections that linger have had their time. */
async function descriptorsLeft(before) {
  for (let left = 50; left > 0 && openSockets() > before + ENGINE_DESCRIPTORS; left--) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return openSockets() - before;
}

const memory = Buffer.alloc(64 * 1024);

/** Every other one receives in memory that all of them share. */
function inEitherWay(protocol) {
  if (randomInt(2) === 0) return protocol;
  return Object.assign(protocol, {
    getBuffer: () => memory,
    bufferUpdated: (byteCount) => protocol.dataReceived(memory.subarray(0, byteCount)),
  });
}

/** Sends back what comes; an end of input is answered with an end. */
class Echo {
  connectionMade(transport) {
    this.transport = transport;
  }
  dataReceived(data) {
    this.transport.write(data);
  }
  pauseWriting() {
    this.transport.pauseReading();
  }
  resumeWriting() {
    this.transport.resumeReading();
  }
}

const pool = randomBytes(1 << 20);
const tally = { opened: 0, ended: 0, cut: 0, bytes: 0, wrong: 0 };

/** One connection from its first byte to its last. */
class Visitor {
  #sent = createHash('md5');
  #received = createHash('md5');
  #sentBytes = 0;
  #receivedBytes = 0;
  #rounds = randomInt(1, 6);
  #manner = ['close', 'half-close', 'abort', 'reset'][randomInt(4)];
  #done;
  gone = new Promise((resolve) => {
    this.#done = resolve;
  });

  connectionMade(transport) {
    tally.opened++;
    this.transport = transport;
    this.#send();
  }

  #send() {
    const size = randomInt(10) === 0 ? randomInt(1, 200_000) : randomInt(1, 2000);
    const start = randomInt(pool.length - size);
    const block = pool.subarray(start, start + size);
    this.#sent.update(block);
    this.#sentBytes += size;
    this.transport.write(block);
  }

  dataReceived(data) {
    this.#received.update(data);
    this.#receivedBytes += data.length;
    tally.bytes += data.length;
    if (this.#receivedBytes < this.#sentBytes) {
      // In the middle of a block: the place for a cut.
      if (this.#rounds === 1 && this.#manner === 'abort') this.#cut(false);
      return;
    }
    if (--this.#rounds > 0) this.#send();
    else if (this.#manner === 'close') this.transport.close();
    else if (this.#manner === 'half-close') this.transport.writeEof();
    else this.#cut(this.#manner === 'reset');
  }

  #cut(reset) {
    this.wasCut = true;
    if (reset) this.transport.reset();
    else this.transport.abort();
  }

  connectionLost(error) {
    tally.ended++;
    if (this.wasCut) tally.cut++;
    else if (error !== null || this.#sent.digest('hex') !== this.#received.digest('hex')) tally.wrong++;
    this.#done();
  }
}

async function serve() {
  const before = openSockets();
  const server = await listen({ hostname: '0.0.0.0', backend, backlog: 4096 }, () => inEitherWay(new Echo()));
  process.send({ port: server.port });
  await once(process, 'message');
  await server.close();
  process.send({ open: server.transports.size, descriptors: await descriptorsLeft(before) });
  process.disconnect();
}

async function visit() {
  const child = fork(fileURLToPath(import.meta.url), ['--serve', '--backend', backend]);
  const [{ port }] = await once(child, 'message');
  const end = Date.now() + Number(values.seconds) * 1000;
  const before = openSockets();
  let failed = 0;
  const overdue = setTimeout(
    () => {
      console.log(JSON.stringify({ backend, ...tally, failed }));
      console.log(
        `FAILED: ${tally.opened - tally.ended} connections have not ended ${END_SECONDS} s after the last was opened`,
      );
      child.kill('SIGKILL');
      process.exit(1);
    },
    (Number(values.seconds) + END_SECONDS) * 1000,
  );
  const one = async () => {
    while (Date.now() < end) {
      try {
        // Many addresses: the ports of one would be used up by connections that have just ended.
        const hostname = `127.0.${randomInt(256)}.${randomInt(1, 255)}`;
        const { protocol } = await connectProtocol({ port, hostname, backend }, () => inEitherWay(new Visitor()));
        await protocol.gone;
      } catch (error) {
        failed++;
        console.error(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: Number(values.connections) }, one));
  child.send('end');
  const [left] = await once(child, 'message');
  const descriptors = await descriptorsLeft(before);
  clearTimeout(overdue);
  console.log(JSON.stringify({ backend, ...tally, failed, descriptors, server: left }));
  const ok =
    tally.opened === tally.ended &&
    tally.wrong + failed + left.open === 0 &&
    Math.max(descriptors, left.descriptors) <= ENGINE_DESCRIPTORS;
  console.log(ok ? 'nothing lost, nothing left' : 'FAILED');
  process.exitCode = ok ? 0 : 1;
}

await (values.serve ? serve() : visit());
