// The projects whose own tests are run: where the source is, and how its tests are started.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = (name) => fileURLToPath(new URL(name, import.meta.url));

/** Each way of running gives the arguments for node; results go to the file `results`, one JSON line a test, or vitest's report. */
const mocha =
  (...args) =>
  () => ['node_modules/mocha/bin/_mocha', '--reporter', here('mocha-reporter.cjs'), ...args];

const nodeTest =
  (...directories) =>
  ({ cwd, results }) => [
    '--test',
    '--test-concurrency=2',
    `--test-reporter=${new URL('node-test-reporter.mjs', import.meta.url).href}`,
    `--test-reporter-destination=${results}`,
    ...directories.flatMap((directory) =>
      readdirSync(join(cwd, directory), { recursive: true })
        .filter((file) => /\.test\.m?js$/.test(file) && !file.includes('node_modules'))
        .map((file) => join(directory, file))
        .sort(),
    ),
  ];

const vitest =
  (...args) =>
  ({ results }) => ['node_modules/vitest/vitest.mjs', 'run', '--reporter=json', `--outputFile=${results}`, ...args];

/**
 * `folder`: where in the repository the package is. `published`: files that the repository makes in a build and that are
 * taken from the package on npm. `tools`: what its tests need besides its own devDependencies. `without`: files of tests of
 * another HTTP server, which is not on npm. `nodeOptions`: for the tests and what they start.
 */
export const projects = [
  {
    name: 'express',
    repository: 'expressjs/express',
    tag: 'v5.2.1',
    args: mocha('--require', 'test/support/env', '--check-leaks', 'test/', 'test/acceptance/'),
  },
  { name: 'fastify', repository: 'fastify/fastify', tag: 'v5.12.1', args: nodeTest('test') },
  { name: 'koa', repository: 'koajs/koa', tag: 'v3.2.0', published: ['dist'], args: nodeTest('__tests__') },
  { name: '@hono/node-server', repository: 'honojs/node-server', tag: 'v2.0.11', args: vitest() },
  {
    name: 'ws',
    repository: 'websockets/ws',
    tag: '8.21.0',
    args: mocha('--exit', '--throw-deprecation', 'test/*.test.js'),
  },
  {
    name: 'socket.io',
    repository: 'socketio/socket.io',
    tag: 'socket.io@4.8.3',
    folder: 'packages/socket.io',
    published: ['dist', 'client-dist'],
    without: ['test/uws.ts'],
    tools: {
      '@types/expect.js': '^0.3.32',
      'expect.js': '^0.3.1',
      express: '^4.19.2',
      'express-session': '^1.18.0',
      mocha: '^10.6.0',
      'socket.io-client': '4.8.3',
      'socket.io-client-v2': 'npm:socket.io-client@^2.5.0',
      superagent: '^9.0.2',
      supertest: '^7.0.0',
      tsx: '~4.20.6',
    },
    nodeOptions: '--import tsx',
    args: mocha('--timeout', '10000', '--exit', 'test/index.ts'),
  },
  {
    name: 'engine.io',
    repository: 'socketio/socket.io',
    tag: 'engine.io@6.6.9',
    folder: 'packages/engine.io',
    published: ['build'],
    tools: {
      'engine.io-client': '^6.6.0',
      'engine.io-client-v3': 'npm:engine.io-client@^3.5.2',
      'expect.js': '^0.3.1',
      'express-session': '^1.18.0',
      helmet: '^7.1.0',
      mocha: '^10.6.0',
      superagent: '^9.0.2',
    },
    args: mocha('--exit', 'test/*.js'),
  },
  {
    name: 'supertest',
    repository: 'ladjs/supertest',
    tag: 'v6.3.4',
    args: mocha('--exit', '--require', 'should', '--check-leaks'),
  },
  { name: 'body-parser', repository: 'expressjs/body-parser', tag: 'v2.3.0', args: mocha('--check-leaks', 'test/') },
  { name: 'compression', repository: 'expressjs/compression', tag: 'v1.8.1', args: mocha('--check-leaks') },
  { name: 'serve-static', repository: 'expressjs/serve-static', tag: 'v2.2.1', args: mocha('--check-leaks', 'test/') },
  { name: 'finalhandler', repository: 'pillarjs/finalhandler', tag: 'v2.1.1', args: mocha('--check-leaks', 'test/') },
  { name: 'on-headers', repository: 'jshttp/on-headers', tag: 'v1.1.0', args: mocha('--check-leaks', 'test/test.js') },
  { name: 'send', repository: 'pillarjs/send', tag: '1.2.1', args: mocha('--check-leaks') },
  { name: 'morgan', repository: 'expressjs/morgan', tag: '1.10.1', args: mocha('--check-leaks') },
  {
    name: 'express-session',
    repository: 'expressjs/session',
    tag: 'v1.19.0',
    before: 'test/support/gencert.sh',
    args: mocha('--require', 'test/support/env', '--check-leaks', '--exit', 'test/'),
  },
  {
    name: 'http-proxy',
    repository: 'http-party/node-http-proxy',
    tag: '1.18.1',
    args: mocha('test/*-test.js'),
  },
];
