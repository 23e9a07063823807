// Copies what is not TypeScript beside the compiled TypeScript: the compiled kernels, and the dashboard's page.
import { copyFileSync, cpSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const from = fileURLToPath(new URL('../src/kernels/wasm/', import.meta.url));
const to = fileURLToPath(new URL('../dist/src/kernels/wasm/', import.meta.url));
mkdirSync(to, { recursive: true });
for (const name of ['simd128.wasm', 'relaxed.wasm']) copyFileSync(`${from}${name}`, `${to}${name}`);

const page = (root) => fileURLToPath(new URL(`../${root}src/dashboard/page/`, import.meta.url));
cpSync(page(''), page('dist/'), { recursive: true });
