import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { built } from './test/setup/built.ts';

/** Where files start processes, networks, servers or hundreds of threads: each of these in a process of its own. */
const ALONE = ['cli', 'cluster', 'dashboard', 'examples', 'faults', 'integration', '*/cli.test.ts', '*/scale.test.ts'];
/** Others there, which are known by what they import, need none: it takes longer to start than they run. */
const STARTS =
  /from '(?:.*\/(?:run-cli|support\/\w+|fuzz\/\w+)\.ts|lockstep(?:\/cluster)?|node:(?:child_process|worker_threads|net|http|https|tls)|playwright-core|ws)'/;
const alone = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts'))
  .filter((file) => ALONE.includes(file.split('/')[0]) || ALONE.includes(`*/${basename(file)}`))
  .filter((file) => STARTS.test(readFileSync(`test/${file}`, 'utf8')))
  .map((file) => `test/${file}`);

export default defineConfig({
  test: {
    pool: 'forks',
    // Many files wait for threads and processes of their own: more at a time than this would be in each other's way.
    maxWorkers: 3,
    globalSetup: ['test/setup/build.ts'],
    // In CI a skipped test fails the run unless test/allowed-skips.json says why.
    reporters: process.env.CI ? ['default', './test/setup/skips.ts'] : ['default'],
    // In the order of their names. The short files come last, so that no process is left alone with a long one.
    projects: [
      project({ name: 'alone', include: alone, isolate: true }),
      // Loading the sources takes longer than most of these: their processes load them once.
      project({ name: 'together', include: ['test/**/*.test.ts'], exclude: alone, isolate: false }),
    ],
  },
});

function project(test: { name: string; include: string[]; exclude?: string[]; isolate: boolean }) {
  return {
    // 'lockstep' and the sources mean dist, as fresh as the sources, in the tests and in the processes that they start.
    plugins: [built],
    test: {
      ...test,
      pool: 'forks' as const,
      server: { deps: { external: [/\/dist\/(src|cluster|test)\//, /\/fixtures\/.*\.mjs$/] } },
      testTimeout: 60_000,
      hookTimeout: 60_000,
      expect: { poll: { timeout: 55_000 } },
    },
  };
}
