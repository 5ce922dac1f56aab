// Tasks of a module and of the program itself, in worker threads. Prints what came back as JSON.

import { Runner } from 'gammaloop/runner';

const runner = new Runner({
  module: `data:text/javascript,
    export const add = (a, b) => a + b;
    export function spin() { for (;;); }`,
  threads: 2,
  graceMs: 10,
});
const sums = await Promise.all(Array.from({ length: 1000 }, (_, i) => runner.run('add', [i, 1])));
const called = await runner.call(async (text) => text.toUpperCase(), ['called']);
const late = await runner.run('spin', [], { timeout: 50 }).catch((error) => error.code);
await runner.close();
console.log(JSON.stringify({ sums: sums.every((sum, i) => sum === i + 1), called, late }));
