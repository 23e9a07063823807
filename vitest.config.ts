import { defineConfig } from 'vitest/config';

export default defineConfig({
  // 'lockstep' means this checkout's sources, in tests as in `npm run lockstep`.
  ssr: { resolve: { conditions: ['lockstep-source'] } },
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Most files wait for threads and processes of their own: two at a time, whatever the number of cores leaves for them.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Faults are made in real processes on whatever machine CI has: one that its load upsets is tried again, and shown as flaky.
    retry: process.env.CI ? 2 : 0,
    globalSetup: ['test/setup/build.ts'],
    // In CI a skipped test fails the run unless test/allowed-skips.json says why.
    reporters: process.env.CI ? ['default', './test/setup/skips.ts'] : ['default'],
  },
});
