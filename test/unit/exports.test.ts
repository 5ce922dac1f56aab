/** What `gammaloop` exports is a promise: nothing gets there unnoticed, and every error class of docs/errors.md is there. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as gammaloop from '../../lib/index.js';

const API = ['Headers', 'Request', 'Response', 'install', 'loop', 'serve', 'uninstall'];

test('functions, objects and classes, and errors', () => {
  const errors = Object.entries(gammaloop).filter(
    ([, value]) => typeof value === 'function' && (value === Error || value.prototype instanceof Error),
  );
  const rest = Object.keys(gammaloop).filter((name) => !errors.some(([error]) => error === name));
  expect(rest.sort()).toEqual(API);
});

test('every error that is exported is documented', () => {
  const documented = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  for (const name of Object.keys(gammaloop)) {
    if (!API.includes(name)) expect(documented).toContain(`\`${name}\``);
  }
});
