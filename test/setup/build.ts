import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** Tests run from a checkout: build the wasm kernels once if nobody has. */
export default function setup(): void {
  if (
    !existsSync(new URL('../../src/kernels/wasm/relaxed.wasm', import.meta.url)) &&
    existsSync('scripts/build-wasm.mjs')
  ) {
    execFileSync(process.execPath, ['scripts/build-wasm.mjs'], { stdio: 'inherit' });
  }
}
