// Compiles src/kernels/assembly to src/kernels/wasm/simd128.wasm (plain SIMD) and relaxed.wasm (fused multiply-add).
// Does nothing while both are newer than every source; `--force` compiles anyway.
import { mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = `${root}src/kernels/assembly`;
const target = `${root}src/kernels/wasm`;
const modules = [
  { name: 'simd128', fma: 0, features: ['simd', 'threads'] },
  { name: 'relaxed', fma: 1, features: ['simd', 'threads', 'relaxed-simd'] },
];

const modified = (path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newest = Math.max(
  ...readdirSync(sources).map((name) => modified(`${sources}/${name}`)),
  modified(fileURLToPath(import.meta.url)),
);
const fresh = modules.every(({ name }) => modified(`${target}/${name}.wasm`) > newest);
if (!fresh || process.argv.includes('--force')) {
  const { default: asc } = await import('assemblyscript/asc');
  mkdirSync(target, { recursive: true });
  for (const module of modules) await compile(asc, module);
}

async function compile(asc, { name, fma, features }) {
  // Written under a name of this process and renamed, so that nobody reads half a module.
  const temporary = `${target}/${name}.${process.pid}.tmp`;
  const { error, stderr } = await asc.main(
    [
      'src/kernels/assembly/index.ts',
      '--baseDir', root,
      '--outFile', temporary,
      '-O3', '--converge', '--noAssert',
      '--runtime', 'stub',
      '--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536',
      ...features.flatMap((feature) => ['--enable', feature]),
      '--use', `FMA=${fma}`,
      ...(process.env.LOCKSTEP_WASM_TEXT ? ['--textFile', `${target}/${name}.wat`] : []),
    ], // biome-ignore format: option by option
    {
      writeFile: (file, contents) => writeFileSync(file.startsWith('/') ? file : `${root}${file}`, contents),
    },
  );
  if (error) {
    rmSync(temporary, { force: true });
    process.stderr.write(`${stderr.toString()}\n`);
    throw error;
  }
  renameSync(temporary, `${target}/${name}.wasm`);
}
