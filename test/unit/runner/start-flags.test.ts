/** How the process was started: whatever its flags are, its workers start; and where there is no runner, it says so first. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { library } from './support.js';

/** What a process with these flags prints: the program is its text. */
async function printed(flags: string[], program: string, options = ''): Promise<string> {
  const env = { ...process.env, NODE_OPTIONS: options };
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, program], { timeout: 20_000, env });
  return stdout.trim();
}

const adds = (options: object) => `
  import(${JSON.stringify(library)}).then(async ({ Runner }) => {
    const runner = new Runner(${JSON.stringify(options)});
    const sum = (a, b) => [a + b, /--no-dep"?recation/.test(process.execArgv + process.env.NODE_OPTIONS)];
    console.log(await runner.call(sum, [1, 2]));
    await runner.close();
  });`;

describe.each(['thread', 'process'])('a worker (%s) of a program that is', (lane) => {
  test.each([
    ['--eval', ['--no-deprecation', '--eval']],
    ['--input-type=module --eval', ['--no-deprecation', '--input-type=module', '--eval']],
    ['--input-type module -e', ['--no-deprecation', '--input-type', 'module', '-e']],
    ['--inspect=0 -e', ['--inspect=0', '--no-deprecation', '-e']],
  ])('%s', async (_, flags) => {
    expect(await printed(flags, adds({ lane, threads: 1 }))).toBe('[ 3, true ]');
  });

  test.each(['--input-type=module --no-deprecation', '"--input-type"  module "--no-dep"recation'])(
    'text, with NODE_OPTIONS %s',
    async (options) => {
      expect(await printed(['--eval'], adds({ lane, threads: 1 }), options)).toBe('[ 3, true ]');
      expect(await printed(['--eval'], adds({ lane, threads: 1, execArgv: [] }), options)).toBe('[ 3, true ]');
    },
  );

  test('text, with execArgv of its own', async () => {
    const flags = ['--no-deprecation', '--input-type=module', '--eval'];
    expect(await printed(flags, adds({ lane, threads: 1, execArgv: ['--trace-warnings'] }))).toBe('[ 3, false ]');
  });
});

test.each(['bun', 'deno'])('on %s the addon is not even tried', async (runtime) => {
  const program = `
    Object.defineProperty(process, 'versions', { value: { ...process.versions, ${runtime}: '1.0.0' } });
    import(${JSON.stringify(library)}).then(({ Runner }) => {
      try { new Runner(); } catch ({ code, message }) { console.log(code, message); }
    });`;
  const said = await printed(['--eval'], program);
  expect(said).toMatch(/^ERR_GAMMALOOP_ADDON_MISSING .*nothing: (Bun|Deno) runs .*run it on Node\.js/);
});
