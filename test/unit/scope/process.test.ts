/** What deadlines do to a process: a pending sleep keeps it alive, as a setTimeout does, and nothing else does. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const loader = new URL('../../support/ts-loader.mjs', import.meta.url).href;
const index = new URL('../../../lib/scope/index.ts', import.meta.url).href;

async function run(code: string): Promise<{ code: number; out: string }> {
  const script = `import * as scope from ${JSON.stringify(index)};\n${code}`;
  const args = ['--no-warnings', '--import', loader, '--input-type=module', '-e', script];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return { code: 0, out: stdout.trim() };
  } catch (error) {
    const failed = error as { code: number; stdout: string };
    return { code: failed.code, out: failed.stdout.trim() };
  }
}

test('a process waits for its sleeps and deadlines, and ends when they have ended', async () => {
  const result = await run(`
    const start = performance.now();
    await scope.moveOnAfter(60, () => scope.abandonOnCancel(new Promise(() => {})));
    await scope.sleep(40);
    console.log(performance.now() - start >= 100);
    await scope.moveOnAfter(3_600_000, () => scope.sleep(1));
    const kept = scope.sleep(3_600_000);
    await scope.openNursery((nursery) => {
      nursery.startSoon(() => scope.sleep(3_600_000));
      nursery.cancelScope.cancel();
    });
    console.log(process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length);
    process.exit(0);
  `);
  expect(result).toEqual({ code: 0, out: 'true\n1' });
});

test('a process whose scopes have all ended ends by itself, whatever their deadlines were', async () => {
  const result = await run(`
    await scope.failAfter(3_600_000, () => scope.sleep(1));
    const own = new scope.CancelScope({ timeout: 3_600_000 });
    await own.run(async () => {
      scope.sleep(3_600_000);
      own.cancel();
    });
    console.log('end');
  `);
  expect(result).toEqual({ code: 0, out: 'end' });
});
