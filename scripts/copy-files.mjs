// Copies what is not TypeScript beside the compiled TypeScript: the compiled kernels, and the dashboard's page.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { replaceFile } from './replace-file.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const page = readdirSync(`${root}src/dashboard/page`).map((name) => `src/dashboard/page/${name}`);
const kernels = ['simd128', 'relaxed'].map((name) => `src/kernels/wasm/${name}.wasm`);
for (const file of [...kernels, ...page]) replaceFile(`${root}dist/${file}`, readFileSync(`${root}${file}`));
