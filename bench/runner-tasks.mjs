// The tasks of bench/runner.mjs, as each pool wants them.
const pool = process.env.BENCH_POOL;

/** By pool: marks bytes that are returned as to be moved. */
const movers = {
  ours: async () => {
    const { transfer } = await import(process.env.BENCH_RUNNER);
    return (bytes) => transfer(bytes, [bytes.buffer]);
  },
  piscina: async () => (await import('piscina')).Piscina.move,
  tinypool: async () => (await import('tinypool')).Tinypool.move,
  workerpool: async () => {
    const { Transfer } = (await import('workerpool')).default;
    return (bytes) => new Transfer(bytes, [bytes.buffer]);
  },
};
const move = await movers[pool]();

const takesOneValue = pool === 'piscina' || pool === 'tinypool';
export const add = takesOneValue ? ([a, b]) => a + b : (a, b) => a + b;
export const bounce = (bytes) => move(bytes);
/** Holds the thread for so long. */
export const burn = (ms) => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};

if (pool === 'workerpool') (await import('workerpool')).default.worker({ add, bounce, burn });
