import { LockstepError } from '../errors.ts';
import { bindProgram } from '../graph/execute.ts';
import { align } from '../graph/plan.ts';
import type { Program, Region } from '../graph/program.ts';
import { type Shape, sizeOf } from '../graph/tensor.ts';
import type { Gemm, GemmOperands } from '../kernels/gemm.ts';
import { instantiateKernels, type Kernels } from '../kernels/instantiate.ts';
import { GEMM_SCRATCH_BYTES } from '../kernels/table.ts';
import type { KernelInfo, OpenGemm, PlatformKernels } from './platform.ts';
import {
  bindPlan,
  type OpenLaboratory,
  type Product,
  type ProductPlan,
  paddedBytes,
  planProduct,
} from './row-exact-gemm.ts';

/** What is computed from an output of the model: probabilities of its classes, or of each logit. */
export type Head = 'softmax' | 'sigmoid';

/** What a machine runs: programs for several row counts over one set of parameters. */
export interface MachineSpec {
  /** By rows, ascending. */
  readonly programs: readonly Program[];
  /** The flat parameter vector. */
  readonly parameters: Float32Array;
  /** By output name. */
  readonly heads?: Readonly<Record<string, Head>>;
}

/** One program bound to memory. Views stay valid; results until another stage runs. */
export interface Stage {
  readonly rows: number;
  /** The live input of that name, all rows; undefined if the model does not read it. */
  field(name: string): Float32Array | Int32Array | undefined;
  run(): void;
  /** All rows of an output. */
  output(name: string): { readonly shape: Shape; readonly data: Float32Array | Int32Array };
  /** What its head makes of an output. */
  probabilities(name: string): Float32Array;
  /** f64 sum of an output's elements, each times the weight's if there is one. */
  sum(value: string, weight?: string): number;
}

/** A model in memory, ready to run on the calling thread. Allocates nothing when it runs. */
export interface Machine {
  readonly kernels: KernelInfo;
  /** By rows, ascending. */
  readonly stages: readonly Stage[];
}

const PAGE = 65536;

/**
 * Lays everything out in one memory of its own.
 *
 * @throws E_MEMORY if that is not to be had.
 */
export function openMachine(platform: PlatformKernels, spec: MachineSpec): Machine {
  const { programs, parameters, heads = {} } = spec;
  const plans = programs.map((program) => planProducts(program, programs, platform));
  const layout = planLayout(heapBaseOf(platform.module), spec, plans);
  const memory = createMemory(layout.bytes);
  const kernels = instantiateKernels(platform.module, memory);
  const { gemm } = platform.openGemm(memory, kernels, layout.scratch);
  new Float32Array(memory.buffer, layout.regions.parameters, parameters.length).set(parameters);
  return {
    kernels: platform.info,
    stages: programs.map((program, i) => {
      const place = layout.stages[i];
      const addresses = { ...layout.regions, batch: place.batch, constants: place.constants };
      new Uint8Array(memory.buffer, place.constants, program.constants.length).set(program.constants);
      const bind: Gemm['bind'] = (g) => {
        const plan = plans[i].get(productKey(g));
        return plan ? bindPlan(plan, g, gemm, kernels, layout.spare) : gemm.bind(g);
      };
      const run = bindProgram(program, addresses, kernels, bind);
      return bindStage({
        program,
        addresses,
        run,
        memory,
        kernels,
        heads,
        scores: place.heads,
        sum: layout.regions.sums,
      });
    }),
  };
}

interface StageParts {
  readonly program: Program;
  readonly addresses: Readonly<Record<Region, number>>;
  readonly run: () => void;
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  readonly heads: Readonly<Record<string, Head>>;
  /** Address of each head's result, by output. */
  readonly scores: ReadonlyMap<string, number>;
  /** Address of one f64. */
  readonly sum: number;
}

function bindStage({ program, addresses, run, memory, kernels, heads, scores, sum }: StageParts): Stage {
  const view = (dtype: 'f32' | 'i32', at: number, size: number) =>
    dtype === 'i32' ? new Int32Array(memory.buffer, at, size) : new Float32Array(memory.buffer, at, size);
  const fields = new Map(
    program.fields.map((f) => [f.name, view(f.dtype, addresses.batch + f.offset, sizeOf(f.shape))]),
  );
  const outputs = new Map(
    program.outputs.map(({ name, shape, dtype, ref }) => {
      const address = addresses[ref.region] + ref.offset;
      return [name, { shape, address, data: view(dtype, address, sizeOf(shape)) }];
    }),
  );
  const output = (name: string) => {
    const found = outputs.get(name);
    if (!found) throw new TypeError(`the model has no output ${name}`);
    return found;
  };
  const finish = [...scores].map(([name, to]) => {
    const { shape, address } = output(name);
    const size = sizeOf(shape);
    if (heads[name] === 'sigmoid') return () => kernels.sigmoid(to, address, size, 0);
    const classes = shape[shape.length - 1];
    return () => kernels.softmax(to, address, size / classes, classes);
  });
  const probabilities = new Map(
    [...scores].map(([name, at]) => [name, new Float32Array(memory.buffer, at, sizeOf(output(name).shape))]),
  );
  const total = new Float64Array(memory.buffer, sum, 1);
  return {
    rows: program.rows,
    field: (name) => fields.get(name),
    run() {
      run();
      for (let i = 0; i < finish.length; i++) finish[i]();
    },
    output,
    probabilities(name) {
      const found = probabilities.get(name);
      if (!found) throw new TypeError(`output ${name} has no probabilities`);
      return found;
    },
    sum(value, weight) {
      const { address, shape } = output(value);
      if (weight === undefined) kernels.sumF64(sum, address, sizeOf(shape));
      else kernels.dotF64(sum, address, output(weight).address, sizeOf(shape));
      return total[0];
    },
  };
}

interface Layout {
  readonly regions: Omit<Record<Region, number>, 'batch' | 'constants'>;
  readonly stages: readonly { batch: number; constants: number; heads: Map<string, number> }[];
  readonly scratch: number;
  readonly spare: number;
  readonly bytes: number;
}

function planLayout(
  heapBase: number,
  { programs, parameters, heads = {} }: MachineSpec,
  plans: readonly ReadonlyMap<string, ProductPlan>[],
): Layout {
  let top = align(heapBase);
  const take = (bytes: number): number => {
    const start = top;
    top += align(bytes);
    return start;
  };
  const nothing = take(64);
  const scratch = take(GEMM_SCRATCH_BYTES);
  const regions = {
    parameters: take(4 * parameters.length),
    gradients: nothing, // prediction has none
    rowLists: nothing,
    ends: nothing,
    moments: nothing,
    sums: take(64),
    key: take(16), // zeros: dropout does not act
    activations: take(Math.max(...programs.map((p) => p.activationBytes))),
  };
  const stages = programs.map((program) => ({
    batch: take(program.batchBytes),
    constants: take(program.constants.length),
    heads: new Map(
      program.outputs
        .filter(({ name }) => Object.hasOwn(heads, name))
        .map(({ name, shape }) => [name, take(4 * sizeOf(shape))]),
    ),
  }));
  const padded = plans.flatMap((plan) => [...plan].map(([key, p]) => paddedBytes(p, sizesOf(key))));
  const spare = take(Math.max(0, ...padded));
  return { regions, stages, scratch, spare, bytes: top };
}

function createMemory(bytes: number): WebAssembly.Memory {
  const pages = Math.ceil(bytes / PAGE);
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (cause) {
    throw new LockstepError('E_MEMORY', {
      where: 'memory for prediction',
      expected: `${Math.ceil(bytes / 2 ** 20)} MiB (parameters, activations, batch)`,
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'free memory, or dispose() predictors that are not used any more',
      cause,
    });
  }
}

/** Where the module's static data ends: instantiated over a memory of its own to ask. */
function heapBaseOf(module: WebAssembly.Module): number {
  return instantiateKernels(module, new WebAssembly.Memory({ initial: 64, maximum: 64 })).heapBase;
}

/** Products of a program that must be computed in a special way, by key. Empty where the kernels are exact by themselves. */
function planProducts(
  program: Program,
  all: readonly Program[],
  platform: PlatformKernels,
): ReadonlyMap<string, ProductPlan> {
  const plans = new Map<string, ProductPlan>();
  const open = laboratories(platform);
  if (open === undefined) return plans;
  const largest = all[all.length - 1];
  const others = new Set(productsOf(largest).map(productKey));
  for (const g of productsOf(program)) {
    const key = productKey(g);
    const plain = g.transA === 0 && g.beta === 0 && g.lda === g.k && g.ldc === g.n;
    // Products that do not grow with the rows are the same in every program.
    if (plans.has(key) || !plain || g.m % program.rows !== 0 || (program !== largest && others.has(key))) continue;
    const product = { ...sizesOf(key), transB: g.transB, reference: (g.m / program.rows) * REFERENCE_ROWS };
    const plan = cached(platform.info, product, open);
    if (plan.kind === 'padded' || plan.lengths.length > 1) plans.set(key, plan);
  }
  return plans;
}

/** Rows of a shard in evaluation: the bits that answers have are those of evaluation. */
const REFERENCE_ROWS = 256;

/** A product is tried once in a process. */
const known = new Map<string, ProductPlan>();

function cached(info: KernelInfo, product: Product, open: OpenLaboratory): ProductPlan {
  const key = [info.blas, product.m, product.n, product.k, product.transB, product.reference].join('|');
  let plan = known.get(key);
  if (!plan) {
    plan = planProduct(product, open);
    known.set(key, plan);
  }
  return plan;
}

type Sizes = Pick<GemmOperands, 'transA' | 'transB' | 'm' | 'n' | 'k'>;

function productKey({ transA, transB, m, n, k }: Sizes): string {
  return [transA, transB, m, n, k].join();
}

function sizesOf(key: string): Sizes {
  const [transA, transB, m, n, k] = key.split(',').map(Number);
  return { transA, transB, m, n, k };
}

/** Sizes of all GEMMs of a program; addresses are of no interest here. */
function productsOf(program: Program): GemmOperands[] {
  return program.calls
    .filter((call) => call.kernel === 'gemm')
    .map(({ args }) => {
      const [transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc] = args.map((x) => (typeof x === 'number' ? x : 0));
      return { transA, transB, m, n, k, a, lda, b, ldb, beta, c, ldc };
    });
}

/** Memories to try products in; undefined where that is not needed. */
function laboratories(platform: PlatformKernels): OpenLaboratory | undefined {
  const probe = (memory: WebAssembly.Memory): OpenGemm => {
    const kernels = instantiateKernels(platform.module, memory);
    return platform.openGemm(memory, kernels, align(kernels.heapBase));
  };
  if (probe(new WebAssembly.Memory({ initial: 64, maximum: 64 })).exact) return undefined;
  const base = align(heapBaseOf(platform.module)) + GEMM_SCRATCH_BYTES;
  return (bytes) => {
    const memory = createMemory(base + bytes);
    return { memory, gemm: probe(memory).gemm, base };
  };
}
