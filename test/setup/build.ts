import { execFileSync } from 'node:child_process';

/**
 * Tests run what users install, as fresh as its sources: what is up to date is not compiled again. The fixtures are compiled beside it,
 * so that no process or thread that loads one has to transform TypeScript first.
 */
export default function setup(): void {
  const run = (...args: string[]) => execFileSync(process.execPath, args, { stdio: 'inherit' });
  run('scripts/build-wasm.mjs');
  const compiler = 'node_modules/typescript/bin/tsc';
  run(compiler, '-p', 'test/setup/tsconfig.json');
  run('scripts/bundle-threads.mjs');
  run('scripts/copy-files.mjs');
}
