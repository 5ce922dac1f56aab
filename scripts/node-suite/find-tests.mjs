// Finds the tests of a checkout of Node's test folder, and says of each what it needs and what it is about.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const covered = /^(test-(?:http|https|net)-.*)\.m?js$/;

/**
 * @typedef {object} NodeTest
 * @property {string} name without the extension
 * @property {string} path
 * @property {'server' | 'client' | 'net'} group server: makes an http or https server; client: the other http and https tests
 * @property {string[]} flags for node, from `// Flags:`
 * @property {Record<string, string>} env from `// Env:`
 */

/** @returns {NodeTest[]} by name */
export function findTests(directory, filter = /(?:)/) {
  const parallel = join(directory, 'parallel');
  return readdirSync(parallel)
    .map((file) => ({ file, name: covered.exec(file)?.[1] }))
    .filter(({ name }) => name !== undefined && filter.test(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ file, name }) => {
      const path = join(parallel, file);
      return { name, path, ...readTest(name, readFileSync(path, 'utf8')) };
    });
}

function readTest(name, source) {
  const env = {};
  for (const pair of words(/\/\/\s+Env:(.*)/.exec(source)?.[1])) {
    const [key, value = ''] = pair.split('=');
    env[key] = value;
  }
  return { group: groupOf(name, source), flags: words(/\/\/\s+Flags:(.*)/.exec(source)?.[1]), env };
}

function words(text = '') {
  return text.split(/\s+/).filter((word) => word !== '');
}

function groupOf(name, source) {
  if (name.startsWith('test-net-')) return 'net';
  const takenFromAnother = /\bcreateServer\b[^{}]*\}\s*=\s*require\('(?:node:)?(?:net|tls|http2)'\)/.test(source);
  const makesServer = takenFromAnother
    ? /\bhttps?\s*\.\s*createServer\b/
    : /(?<!\b(?:net|tls|http2)\s*\.\s*)\bcreateServer\b/;
  return makesServer.test(source) || /\bhttps?\s*\.\s*Server\b/.test(source) ? 'server' : 'client';
}
