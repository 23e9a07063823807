/**
 * ns per element (or GFLOP/s) of the kernels, both modules: `node --import tsx scripts/bench-kernels.ts [name ...]`.
 * Best and median of 15 rounds; elementwise kernels on 64 Ki elements (cache-resident), optimizers on 1 M.
 */
import { chooseBackend, openGemm } from '../src/kernels/backend.ts';
import type { Gemm } from '../src/kernels/gemm.ts';
import { wasmGemm } from '../src/kernels/gemm.ts';
import {
  ACTIVATION_CODES,
  BINARY,
  type KernelTable,
  OPTIMIZER_KERNELS,
  REDUCE,
  UNARY,
  UNARY_GRAD,
} from '../src/kernels/table.ts';
import { compileKernels, instantiateKernels } from '../src/kernels/wasm.ts';

const wanted = process.argv.slice(2);
const MIB = 1 << 20;
const memory = new WebAssembly.Memory({ initial: 1600, maximum: 1600, shared: true });
const [A, B, C, D, OUT, SCALARS, SCRATCH] = [1, 17, 33, 49, 65, 81, 90].map((mib) => mib * MIB);

function measure(run: () => void, rounds = 15): { best: number; median: number } {
  const time = (repeats: number): number => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < repeats; i++) run();
    return Number(process.hrtime.bigint() - start) / repeats;
  };
  time(3);
  const repeats = Math.max(1, Math.ceil(5e6 / time(5)));
  time(repeats);
  const times = Array.from({ length: rounds }, () => time(repeats)).sort((a, b) => a - b);
  return { best: times[0], median: times[rounds >> 1] };
}

function line(module: string, name: string, detail: string, run: () => void, unit: (ns: number) => string): void {
  if (wanted.length > 0 && !wanted.some((w) => name.includes(w))) return;
  const { best, median } = measure(run);
  console.log(
    `${module.padEnd(8)} ${name.padEnd(24)} ${detail.padEnd(18)} ${unit(best).padStart(12)}   median ${unit(median)}`,
  );
}

const perElement = (count: number) => (ns: number) => `${(ns / count).toFixed(3)} ns`;
const gflops = (flops: number) => (ns: number) => `${(flops / ns).toFixed(1)} GF/s`;

function fillInputs(): void {
  const f32 = new Float32Array(memory.buffer);
  for (const p of [A, B, C, D])
    for (let i = 0; i < 4 * MIB; i++) f32[(p >> 2) + i] = ((i * 2654435761) % 1024) / 512 + 0.001;
}

function elementwise(module: string, k: KernelTable): void {
  const n = 65536;
  for (const name of UNARY) line(module, name, `${n}`, () => k[name](OUT, A, n, 1.5), perElement(n));
  for (const name of UNARY_GRAD) line(module, name, `${n}`, () => k[name](OUT, A, B, n, 1.5), perElement(n));
  for (const name of BINARY) line(module, name, `${n}`, () => k[name](OUT, A, B, 1, n, 0, 1, 0, 1), perElement(n));
  line(module, 'add row', '128x512', () => k.add(OUT, A, B, 128, 512, 512, 1, 0, 1), perElement(n));
  for (const name of REDUCE) {
    line(module, `${name} columns`, '128x512', () => k[name](OUT, A, 1, 128, 512), perElement(n));
    line(module, `${name} rows`, '128x512', () => k[name](OUT, A, 128, 512, 1), perElement(n));
  }
  for (const [name, code] of Object.entries(ACTIVATION_CODES)) {
    line(module, `bias+${name}`, '128x512', () => k.biasActivation(OUT, A, B, 128, 512, code, 0.1), perElement(n));
  }
}

function rowsAndMoves(module: string, k: KernelTable): void {
  const i32 = new Int32Array(memory.buffer);
  for (let i = 0; i < 128; i++) i32[(SCALARS >> 2) + i] = i % 10;
  const table = SCALARS + 4096;
  i32.set([512, 128, 1, 512, 128, 1], table >> 2); // transpose [128, 512]: dims, in strides, out strides
  for (const columns of [10, 512]) {
    const n = 128 * columns;
    const shape = `128x${columns}`;
    line(module, 'softmax', shape, () => k.softmax(OUT, A, 128, columns), perElement(n));
    line(module, 'softmaxGrad', shape, () => k.softmaxGrad(OUT, A, B, 128, columns), perElement(n));
    line(module, 'logSoftmax', shape, () => k.logSoftmax(OUT, A, 128, columns), perElement(n));
    line(
      module,
      'softmaxCrossEntropy',
      shape,
      () => k.softmaxCrossEntropy(OUT, A, SCALARS, 128, columns, 0),
      perElement(n),
    );
    line(
      module,
      'softmaxCrossEntropyGrad',
      shape,
      () => k.softmaxCrossEntropyGrad(OUT, A, SCALARS, B, 128, columns, 0),
      perElement(n),
    );
    line(module, 'argmax', shape, () => k.argmax(OUT, A, 128, columns), perElement(n));
  }
  const n = 65536;
  line(module, 'bceWithLogits', `${n}`, () => k.bceWithLogits(OUT, A, B, n), perElement(n));
  line(module, 'fill', `${n}`, () => k.fill(OUT, 1.5, n), perElement(n));
  line(module, 'copy', `${n}`, () => k.copy(OUT, A, n), perElement(n));
  line(module, 'transpose', '128x512', () => k.stridedCopy(OUT, A, 2, table, table + 8, table + 16), perElement(n));
  line(module, 'gatherRows', '128x512', () => k.gatherRows(OUT, A, SCALARS, 128, 512, 1000), perElement(n));
  line(module, 'gatherWords', '128x784', () => k.gatherWords(OUT, A, SCALARS, 128, 784), perElement(128 * 784));
  line(module, 'gatherBytes', '128x784', () => k.gatherBytes(OUT, A, SCALARS, 128, 784, 0.1, 0), perElement(128 * 784));
  line(module, 'dropout', `${n}`, () => k.dropout(OUT, A, n, 0.5, SCALARS, 1, 0), perElement(n));
  line(module, 'randomUniform', `${n}`, () => k.randomUniform(OUT, n, 1, 2, 3, 4, 5, 0, 0, 1), perElement(n));
  line(module, 'randomNormal', `${n}`, () => k.randomNormal(OUT, n, 1, 2, 3, 4, 5, 0, 0, 1), perElement(n));
}

function gradients(module: string, k: KernelTable): void {
  const n = MIB;
  line(module, 'addPartials', '1 M', () => k.addPartials(OUT, A, B, n), perElement(n));
  line(module, 'addPartials4', '1 M', () => k.addPartials4(OUT, A, B, C, D, n), perElement(n));
  line(module, 'squaredNorm', '1 M', () => k.squaredNorm(A, n), perElement(n));
  line(module, 'sumF64', '1 M', () => k.sumF64(OUT, A, n), perElement(n));
  line(module, 'clampScaled', '1 M', () => k.clampScaled(OUT, A, n, 0.5, 1), perElement(n));
  const scalars = new Float64Array(memory.buffer, SCALARS, 8);
  for (const name of OPTIMIZER_KERNELS) {
    fillInputs();
    scalars.set([1, 1e-4, 1e-3, 0.9, 0.999, 1e-8, 1e-4, 1.2]);
    line(module, name, '1 M', () => k[name](A, B, C, D, OUT, n, SCALARS), perElement(n));
  }
  fillInputs();
}

const SHAPES = [
  [0, 0, 64, 512, 784],
  [0, 0, 128, 512, 784],
  [0, 0, 256, 512, 784],
  [1, 0, 784, 512, 128],
  [1, 0, 784, 512, 256],
  [0, 1, 128, 512, 256],
  [0, 0, 128, 10, 256],
  [0, 1, 128, 256, 10],
  [0, 0, 32, 64, 30],
  [1, 0, 30, 64, 32],
  [0, 0, 32, 2, 64],
  [0, 0, 512, 512, 512],
  [0, 0, 1, 512, 784],
] as const;

function gemms(module: string, gemm: Gemm): void {
  for (const [transA, transB, m, n, k] of SHAPES) {
    const run = gemm.bind({
      transA,
      transB,
      m,
      n,
      k,
      a: A,
      lda: transA ? m : k,
      b: B,
      ldb: transB ? k : n,
      beta: 0,
      c: OUT,
      ldc: n,
    });
    const form = `${transA ? 'T' : 'N'}${transB ? 'T' : 'N'}`;
    line(module, `gemm ${form} ${gemm.name}`, `${m}x${n}x${k}`, run, gflops(2 * m * n * k));
  }
}

fillInputs();
const choice = chooseBackend();
for (const simd of ['relaxed', 'simd128'] as const) {
  if (simd === 'relaxed' && choice.simd !== 'relaxed') continue;
  const { module } = await compileKernels({ simd });
  const kernels = instantiateKernels(module, memory);
  gemms(simd, wasmGemm(kernels, SCRATCH));
  if (simd === choice.simd && choice.gemm === 'blas') gemms('blas', openGemm(choice, memory, kernels, SCRATCH));
  gradients(simd, kernels);
  elementwise(simd, kernels);
  rowsAndMoves(simd, kernels);
}
