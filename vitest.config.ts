import { defineConfig } from 'vitest/config';
import { built } from './test/setup/built.ts';

export default defineConfig({
  // 'lockstep' and the sources mean dist, as fresh as the sources, in the tests and in the processes that they start.
  plugins: [built],
  test: {
    include: ['test/**/*.test.ts'],
    server: { deps: { external: [/\/dist\/(src|cluster|test)\//, /\/fixtures\/.*\.mjs$/] } },
    pool: 'forks',
    // Most files wait for threads and processes of their own: two at a time, whatever the number of cores leaves for them.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    globalSetup: ['test/setup/build.ts'],
    // In CI a skipped test fails the run unless test/allowed-skips.json says why.
    reporters: process.env.CI ? ['default', './test/setup/skips.ts'] : ['default'],
  },
});
