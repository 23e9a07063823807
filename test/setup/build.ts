import { execFileSync } from 'node:child_process';

/** Tests run from a checkout, with kernels as fresh as their sources; the script does nothing when they are. */
export default function setup(): void {
  execFileSync(process.execPath, ['scripts/build-wasm.mjs'], { stdio: 'inherit' });
}
