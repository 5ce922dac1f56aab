/** The examples with notes, each on plain node and with gammaloop/register: the same requests, the same bytes in answer. */
import { beforeAll, describe, expect, test } from 'vitest';
import { backends } from '../support/backends.js';
import { RawClient } from '../support/raw-client.js';
import { installDependencies } from './dependencies.js';
import { ExampleProcess, type Mode, normalise } from './example-process.js';
import { notesRequests } from './notes-requests.js';

/** Every answer of the example by the request's name. */
async function askAll(name: string, mode: Mode): Promise<Map<string, string>> {
  const example = await ExampleProcess.start(name, mode);
  const answers = new Map<string, string>();
  for (const [title, wire] of Object.entries(notesRequests)) {
    const client = await RawClient.open(example.port);
    client.send(Buffer.from(wire));
    answers.set(title, normalise(await client.rest(), example.port));
    client.socket.destroy();
  }
  await example.stop();
  return answers;
}

describe.each(['express', 'fastify', 'koa', 'hono'])('examples/%s', (name) => {
  let plain: Map<string, string>;
  beforeAll(async () => {
    installDependencies(name);
    plain = await askAll(name, 'plain');
  }, 120_000);

  test('works on plain node', () => {
    const expected: Array<[string, RegExp]> = [
      ['a query', /^HTTP\/1\.1 200 [\s\S]*\{"id":"1","text":"Buy milk","fields":\W*"?text/],
      ['a new note', /^HTTP\/1\.1 201 [\s\S]*\blocation: \/notes\/2\r\n[\s\S]*"Water the plants"/i],
      ['a later visit', /^set-cookie: visits=42[\s\S]*^set-cookie: seen=yes[\s\S]*Visit 42$/im],
      ['a redirect', /^HTTP\/1\.1 302 [\s\S]*\blocation: \/notes\/1\r\n/i],
      ['a file', /^HTTP\/1\.1 200 [\s\S]*<title>Notes<\/title>/],
      [
        'a streamed answer',
        /^HTTP\/1\.1 200 [\s\S]*\btransfer-encoding: chunked\r\n[\s\S]*line 5\n[\s\S]*\r\n0\r\n\r\n$/i,
      ],
      ['an upload', /^HTTP\/1\.1 200 [\s\S]*\{"bytes":300000\}/],
      ['a handler that throws', /^HTTP\/1\.1 500 [\s\S]*A handler that throws/],
      ['a route that is not there', /^HTTP\/1\.1 404 [\s\S]*no GET \/nowhere/],
      ['no HTTP', /^HTTP\/1\.1 400 /],
    ];
    for (const [title, answer] of expected) expect(plain.get(title), title).toMatch(answer);
  });

  describe.each(backends)('with the hook, backend %s', (backend) => {
    let hooked: Map<string, string>;
    beforeAll(async () => {
      hooked = await askAll(name, backend);
    }, 60_000);

    test.each(Object.keys(notesRequests))('%s', (title) => {
      expect(hooked.get(title)).toBe(plain.get(title));
    });
  });
});
