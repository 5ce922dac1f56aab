import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Two files at a time even on two processors: most tests wait, for sockets, timers, brokers and browsers.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // For what hangs. What is slow only because the machine is, passes.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
    teardownTimeout: 10_000,
  },
});
