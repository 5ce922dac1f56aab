import { execFile } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import net from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import ourHttp, * as ourHttpNames from '../../../lib/drop-in/http.js';
import ourHttps, * as ourHttpsNames from '../../../lib/drop-in/https.js';
import { install, loop, uninstall } from '../../../lib/index.js';
import ourNet from '../../../lib/net/index.js';
import { listen, portOf } from '../../support/drop-in.js';
import { httpModule, nodeArgs } from '../../support/drop-in-child.js';
import { RawClient } from '../../support/raw-client.js';

const exec = promisify(execFile);
const require = createRequire(import.meta.url);
const GET = 'GET /path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
const names = ['createServer', 'Server', 'IncomingMessage', 'ServerResponse'] as const;

/** Everything that install() may touch: modules and prototypes, with descriptors. */
function picture(): Map<object, Map<string | symbol, PropertyDescriptor>> {
  const objects = [
    http,
    https,
    require('node:_http_server'),
    require('node:_http_incoming'),
    nodeClasses.IncomingMessage.prototype,
    nodeClasses.ServerResponse.prototype,
    nodeClasses.OutgoingMessage.prototype,
    nodeClasses.Server.prototype,
    PerformanceObserver.prototype,
  ];
  return new Map(
    objects.map((object) => [
      object,
      new Map(
        Reflect.ownKeys(object).map((key) => [key, Object.getOwnPropertyDescriptor(object, key) as PropertyDescriptor]),
      ),
    ]),
  );
}
const nodeClasses = { ...http };
/** How many servers of one are native here: none where the tests run without the addon. */
const ONE = (process.env['GAMMALOOP_TEST_BACKENDS'] || 'node,native').includes('native') ? 1 : 0;

afterEach(uninstall);

async function ask(server: http.Server): Promise<string> {
  const client = await RawClient.open(portOf(server));
  const text = await client.send(GET).rest();
  return text.slice(text.indexOf('\r\n\r\n') + 4);
}

describe('install and uninstall', () => {
  it('replace node:net too where that is asked for, at once or later, and put it back', async () => {
    const nodes = net as Record<string, unknown> & typeof net;
    const ours = ourNet as Record<string, unknown> & typeof ourNet;
    const before = { ...nodes };
    install();
    expect({ ...net }).toEqual(before);
    install({ net: true });
    for (const name of ['connect', 'createConnection', 'createServer', 'Server', 'Socket', 'Stream'] as const) {
      expect(nodes[name], name).toBe(ours[name]);
      expect(nodes[name], name).not.toBe(before[name]);
      expect((await import('node:net'))[name as 'connect'], name).toBe(nodes[name]);
    }
    expect(net.BlockList).toBe(before.BlockList);
    expect(new before.Socket()).toBeInstanceOf(net.Socket);
    expect(new net.Socket()).toBeInstanceOf(before.Socket);
    expect(Object.keys(ourNet)).toEqual(expect.arrayContaining(Object.keys(before)));
    uninstall();
    expect({ ...net }).toEqual(before);
    expect(() => install({ net: 1 as never })).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_OPTION' }));
  });

  it('replace the four names, in both views, and put them back exactly', async () => {
    const before = picture();
    install();
    for (const name of names) {
      expect(http[name], name).toBe(ourHttp[name]);
      expect(http[name], name).not.toBe(nodeClasses[name]);
      expect((await import('node:http'))[name], `${name} of the module`).toBe(ourHttp[name]);
      expect(require('node:http')[name]).toBe(ourHttp[name]);
    }
    expect([https.createServer, https.Server]).toEqual([ourHttps.createServer, ourHttps.Server]);
    expect(require('node:_http_server').Server).toBe(ourHttp.Server);
    uninstall();
    const after = picture();
    for (const [object, properties] of before) expect(after.get(object)).toEqual(properties);
    expect((await import('node:http')).createServer).toBe(nodeClasses.createServer);
  });

  it('may be called twice', () => {
    const before = picture();
    install();
    install();
    expect(loop.stats().dropIn.installed).toBe(true);
    uninstall();
    uninstall();
    expect(loop.stats().dropIn.installed).toBe(false);
    for (const [object, properties] of picture()) expect(properties).toEqual(before.get(object));
  });

  it('a property that somebody has replaced since stays', () => {
    install();
    const wrapped = http.createServer;
    const wrapper = (): http.Server => wrapped();
    http.createServer = wrapper as typeof http.createServer;
    uninstall();
    expect(http.createServer).toBe(wrapper);
    http.createServer = nodeClasses.createServer;
  });

  it('the client side stays node’s', () => {
    install();
    for (const name of [
      'request',
      'get',
      'Agent',
      'ClientRequest',
      'OutgoingMessage',
      'METHODS',
      'STATUS_CODES',
    ] as const) {
      expect(http[name]).toBe(nodeClasses[name]);
    }
  });

  it('names and lengths are those of node', () => {
    for (const name of names) {
      expect([ourHttp[name].name, ourHttp[name].length]).toEqual([nodeClasses[name].name, nodeClasses[name].length]);
    }
    expect([ourHttps.Server.name, ourHttps.Server.length]).toEqual([https.Server.name, https.Server.length]);
  });

  it('servers made in between go on after uninstall', async () => {
    install();
    const native = loop.stats().dropIn.native;
    const server = http.createServer((req, res) => res.end(`hello ${req.url}`));
    await listen(server);
    expect(loop.stats().dropIn.native).toBe(native + ONE);
    uninstall();
    expect(http.createServer()).not.toBeInstanceOf(ourHttp.Server);
    expect(await ask(server)).toBe('hello /path');
    await new Promise((resolve) => server.close(resolve));
  });

  it('node’s own client works on, its responses being IncomingMessages', async () => {
    install();
    const server = http.createServer((_req, res) => res.end('answer'));
    await listen(server);
    const response = await new Promise<http.IncomingMessage>((resolve) => {
      http.get({ port: portOf(server), agent: false }, resolve);
    });
    expect(response).toBeInstanceOf(http.IncomingMessage);
    expect(response).toBeInstanceOf(nodeClasses.IncomingMessage);
    const own = Object.keys(response);
    const chunks: string[] = [];
    for await (const chunk of response.setEncoding('utf8')) chunks.push(chunk);
    expect(chunks.join('')).toBe('answer');
    expect(own).toEqual(
      expect.arrayContaining(['_readableState', 'socket', 'url', 'method', 'statusCode', 'rawHeaders']),
    );
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('prototypes made before install()', () => {
  it('keep our requests and responses working', async () => {
    // As Express does when it is loaded.
    const request = Object.create(http.IncomingMessage.prototype, {
      host: {
        get(this: http.IncomingMessage) {
          return this.headers.host;
        },
      },
    });
    const response = Object.create(http.ServerResponse.prototype);
    response.send = function (this: http.ServerResponse, body: string) {
      this.setHeader('X-Sent', 'yes');
      this.write('before ');
      this.end(body);
    };
    install();
    const log: string[] = [];
    const server = http.createServer((req, res) => {
      Object.setPrototypeOf(req, request);
      Object.setPrototypeOf(res, response);
      let body = '';
      req.setEncoding('utf8').on('data', (chunk) => {
        body += chunk;
      });
      req.on('end', () => {
        const seen = [
          req.method,
          req.url,
          (req as never as { host: string }).host,
          body,
          req.complete,
          req.rawHeaders[0],
        ];
        (res as never as { send(text: string): void }).send(JSON.stringify(seen));
      });
      res.on('finish', () => log.push('finish'));
      res.on('close', () => log.push(`close ${res.writableFinished}`));
    });
    await listen(server);
    const client = await RawClient.open(portOf(server));
    for (let i = 0; i < 2; i++) {
      const answer = await client.send('POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc').response();
      expect(answer.headers['x-sent']).toEqual(['yes']);
      expect(answer.body.toString()).toBe('before ["POST","/p","a","abc",true,"Host"]');
    }
    client.end();
    await client.rest();
    await new Promise((resolve) => server.close(resolve));
    expect(log).toEqual(['finish', 'close true', 'finish', 'close true']);
  });

  it('the guards have the names and lengths of what they stand for', () => {
    const { prototype } = nodeClasses.ServerResponse;
    const { prototype: outgoing } = nodeClasses.OutgoingMessage;
    const before = [prototype.writeHead.length, outgoing.setHeader.length, outgoing.end.name];
    install();
    expect([prototype.writeHead.length, outgoing.setHeader.length, outgoing.end.name]).toEqual(before);
    expect([prototype.writeHead.name, outgoing.setHeader.name]).toEqual(['writeHead', 'setHeader']);
  });
});

describe('gammaloop/http and gammaloop/https', () => {
  it('export what node’s modules export', () => {
    expect(Object.keys(ourHttp).sort()).toEqual(Object.keys(nodeClasses).sort());
    expect(Object.keys(ourHttps).sort()).toEqual(Object.keys(https).sort());
    for (const [ours, node] of [
      [ourHttpNames, http],
      [ourHttpsNames, https],
    ] as const) {
      const missing = Object.keys(node).filter((name) => !(name in ours));
      expect(missing).toEqual([]);
    }
  });

  it('globalAgent is the one that node uses', () => {
    const before = http.globalAgent;
    const agent = new http.Agent();
    ourHttp.globalAgent = agent;
    expect(http.globalAgent).toBe(agent);
    http.globalAgent = before;
    expect(ourHttp.globalAgent).toBe(before);
  });

  it('leave node:http alone', async () => {
    const code = `
      import ours, { createServer } from ${JSON.stringify(httpModule)};
      import http from 'node:http';
      console.log(http.createServer !== createServer, ours.createServer === createServer, http.Server !== ours.Server);
    `;
    const { stdout } = await exec(process.execPath, [...nodeArgs('plain'), '--input-type=module', '-e', code]);
    expect(stdout).toBe('true true true\n');
  });
});

describe('the register hook', () => {
  const program = `
    import { createServer } from 'node:http';
    import { createRequire } from 'node:module';
import net from 'node:net';
    const require = createRequire(process.cwd() + '/');
    console.log(createServer === require('http').createServer, createServer().constructor === require('http').Server);
  `;
  const run = async (env: NodeJS.ProcessEnv): Promise<{ stdout: string; stderr: string }> =>
    exec(process.execPath, [...nodeArgs('native'), '--input-type=module', '-e', program], {
      env: { ...process.env, GAMMALOOP_BACKEND: '', ...env },
    });

  it('comes before the imports of the program, and says nothing', async () => {
    expect(await run({ GAMMALOOP_DEBUG: '' })).toEqual({ stdout: 'true true\n', stderr: '' });
  });

  it('GAMMALOOP_DEBUG=1 says what was installed and where each server runs', async () => {
    const lines = async (env: NodeJS.ProcessEnv): Promise<string[]> =>
      (await run({ GAMMALOOP_DEBUG: '1', ...env })).stderr
        .trim()
        .split('\n')
        .map((line) => line.replace(/ \d+:/, ':'));
    expect(await lines({})).toEqual([
      'gammaloop: installed in node:http and node:https',
      'gammaloop: http server: native',
    ]);
    expect((await lines({ GAMMALOOP_BACKEND: 'node' }))[1]).toBe("gammaloop: http server: node's own (backend)");
  });
});

describe('loop.stats().dropIn', () => {
  it('counts servers, and the reasons of those that fell back', () => {
    const counts = (): Record<string, number> =>
      Object.fromEntries(loop.stats().dropIn.fallback.map(({ reason, count }) => [reason, count]));
    const before = counts();
    const { native } = loop.stats().dropIn;
    class Foreign extends nodeClasses.IncomingMessage {}
    class ForeignResponse extends nodeClasses.ServerResponse {}
    ourHttp.createServer();
    ourHttp.createServer({ insecureHTTPParser: true });
    ourHttp.createServer({ IncomingMessage: Foreign });
    ourHttp.createServer({ ServerResponse: ForeignResponse } as never);
    ourHttps.createServer({ insecureHTTPParser: true });
    const added = Object.entries(counts()).map(([reason, count]) => [reason, count - (before[reason] ?? 0)]);
    expect(Object.fromEntries(added)).toMatchObject({ insecureHTTPParser: 2, IncomingMessage: 1, ServerResponse: 1 });
    expect(loop.stats().dropIn.native).toBe(native + ONE);
  });

  it('a server that fell back is served all the same', async () => {
    const server = ourHttp.createServer({ insecureHTTPParser: true }, (req, res) => res.end(`hello ${req.url}`));
    await listen(server);
    expect(await ask(server)).toBe('hello /path');
    await new Promise((resolve) => server.close(resolve));
  });
});
