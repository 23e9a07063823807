// Copies the compiled kernels beside the compiled TypeScript.
import { copyFileSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const from = fileURLToPath(new URL('../src/kernels/wasm/', import.meta.url));
const to = fileURLToPath(new URL('../dist/src/kernels/wasm/', import.meta.url));
mkdirSync(to, { recursive: true });
for (const name of ['simd128.wasm', 'relaxed.wasm']) copyFileSync(`${from}${name}`, `${to}${name}`);
