/** The runner and its peers as bench/runner.mjs sees them: add(a, b), bounce(bytes), burn(ms), close(). */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Piscina } from 'piscina';
import { Tinypool } from 'tinypool';
import workerpool from 'workerpool';

const dist = process.env.GAMMALOOP_DIST
  ? `${pathToFileURL(process.env.GAMMALOOP_DIST).href}/`
  : new URL('../dist/', import.meta.url).href;
const runnerModule = new URL('runner/index.js', dist).href;
export const { Runner } = await import(runnerModule);

export const tasks = new URL('runner-tasks.mjs', import.meta.url);
const envOf = (name) => ({ ...process.env, BENCH_POOL: name, BENCH_RUNNER: runnerModule });

export function gammaloop(threads, options) {
  const queue = { capacity: 2000 };
  const runner = new Runner({ module: tasks, threads, env: envOf('ours'), queue, ...options });
  return {
    start: () => runner.start(),
    add: (a, b) => runner.run('add', [a, b]),
    bounce: (bytes) => runner.run('bounce', [bytes], { transfer: [bytes.buffer] }),
    burn: (ms) => runner.run('burn', [ms]),
    close: () => runner.close(),
  };
}

function piscinaLike(Pool, name) {
  return (threads, options) => {
    const pool = new Pool({
      filename: tasks.href,
      minThreads: threads,
      maxThreads: threads,
      env: envOf(name),
      ...options,
    });
    return {
      add: (a, b) => pool.run([a, b], { name: 'add' }),
      bounce: (bytes) => pool.run(bytes, { name: 'bounce', transferList: [bytes.buffer] }),
      burn: (ms) => pool.run(ms, { name: 'burn' }),
      close: () => pool.destroy(),
    };
  };
}

export const piscina = piscinaLike(Piscina, 'piscina');
export const tinypool = piscinaLike(Tinypool, 'tinypool');

export function workerPool(threads) {
  const pool = workerpool.pool(fileURLToPath(tasks), {
    minWorkers: threads,
    maxWorkers: threads,
    workerType: 'thread',
    workerThreadOpts: { env: envOf('workerpool') },
  });
  return {
    add: (a, b) => pool.exec('add', [a, b]),
    bounce: (bytes) => pool.exec('bounce', [bytes], { transfer: [bytes.buffer] }),
    burn: (ms) => pool.exec('burn', [ms]),
    close: () => pool.terminate(),
  };
}
