import { execFileSync } from 'node:child_process';

/** Tests run what users install, as fresh as its sources: what is up to date is not compiled again. */
export default function setup(): void {
  const run = (...args: string[]) => execFileSync(process.execPath, args, { stdio: 'inherit' });
  run('scripts/build-wasm.mjs');
  const compiler = 'node_modules/typescript/bin/tsc';
  run(compiler, '-p', 'tsconfig.build.json', '--incremental', '--tsBuildInfoFile', 'dist/.tsbuildinfo');
  run('scripts/copy-files.mjs');
}
