import type { Block } from '../graph/layout.ts';
import type { TensorEntry } from '../graph/program.ts';
import type { KernelTable } from '../kernels/table.ts';
import type { ResolvedOptimizer } from '../optim/catalogue.ts';
import type { OptimizerKernel, SlotSpec, View } from '../optim/contract.ts';
import { refuseUnsupported } from '../optim/custom.ts';
import { plainGemm } from '../optim/product.ts';
import { lrAt } from '../optim/schedules.ts';
import { type Progress, writeProgress } from './progress.ts';

export interface IndexedBlock extends Block {
  readonly index: number;
}

interface RunnerMemory {
  readonly buffer: ArrayBufferLike;
  readonly parameters: number;
  readonly slots: readonly number[];
  /** Where this worker's scalars lie. */
  readonly scalars: number;
}

/**
 * One worker's hand on the central optimizer: computes a step's scalars (the same in every worker) and runs the update on
 * the blocks that this worker owns, by the fused kernel where the definition names one, else by its plain `update`.
 */
export class OptimizerRunner {
  lr = 0;
  /** Updates so far; a skipped step is none. */
  #updates = 0;
  readonly #optimizer: ResolvedOptimizer;
  readonly #memory: RunnerMemory;
  readonly #totalSteps: number;
  readonly #tensors: readonly TensorEntry[];
  readonly #kernel: OptimizerKernel | undefined;
  readonly #scalars: Float64Array;
  #state: Record<string, number>;
  readonly #noSums = new Float64Array(0);
  readonly #info: { step: number; lr: number; gradScale: number; options: object };
  /** Views of blocks for `update`, by the gradient's address and the block. */
  readonly #views = new Map<number, Map<number, View>>();

  constructor(
    optimizer: ResolvedOptimizer,
    memory: RunnerMemory,
    kernels: KernelTable,
    tensors: readonly TensorEntry[],
    totalSteps: number,
  ) {
    this.#optimizer = optimizer;
    this.#memory = memory;
    this.#tensors = tensors;
    this.#totalSteps = totalSteps;
    const { def, options } = optimizer;
    refuseUnsupported(def);
    const kernel = def.kernel?.(options);
    this.#kernel = kernel && kernels[kernel];
    this.#scalars = new Float64Array(memory.buffer, memory.scalars, def.scalarNames.length);
    this.#state = { ...def.state };
    this.#info = { step: 0, lr: 0, gradScale: 1, options };
  }

  /** Once a step, before any `update`. */
  prepare(step: number, gradScale: number): void {
    const info = this.#info;
    this.#updates += 1;
    info.step = this.#updates;
    info.gradScale = gradScale;
    info.lr = this.lrOf(step);
    this.lr = info.lr;
    this.#optimizer.def.scalars(info, this.#scalars, this.#state, this.#noSums);
  }

  /** Notes in shared memory where the optimizer stands after step t. */
  saveProgress(places: Float64Array, t: number): void {
    writeProgress(places, t, this.#updates, this.#state);
  }

  /** Goes on from there. */
  restoreProgress({ updates, state }: Progress): void {
    this.#updates = updates;
    this.#state = { ...state };
  }

  /** Initial value of each slot for a tensor. */
  slotInits(tensor: TensorEntry): number[] {
    const { def, options } = this.#optimizer;
    return Object.values<SlotSpec>(def.slots(options, tensor)).map(({ init }) => (typeof init === 'number' ? init : 0));
  }

  lrOf(step: number): number {
    return lrAt(this.#optimizer.schedule, step, this.#totalSteps);
  }

  /** One pass over one block; `gradient` is the address of the flat gradient. */
  update(block: IndexedBlock, gradient: number): void {
    const kernel = this.#kernel;
    if (kernel === undefined) {
      this.#optimizer.def.update(this.#view(block, gradient), this.#scalars, this.#info.options);
      return;
    }
    const { parameters, slots, scalars } = this.#memory;
    const at = 4 * block.offset;
    const slot0 = slots.length > 0 ? slots[0] + at : 0;
    const slot1 = slots.length > 1 ? slots[1] + at : 0;
    const slot2 = slots.length > 2 ? slots[2] + at : 0;
    const slot3 = slots.length > 3 ? slots[3] + at : 0;
    kernel(parameters + at, gradient + at, slot0, slot1, slot2, block.length, scalars, slot3);
  }

  #view(block: IndexedBlock, gradient: number): View {
    let views = this.#views.get(gradient);
    if (!views) {
      views = new Map();
      this.#views.set(gradient, views);
    }
    let view = views.get(block.index);
    if (!view) {
      const { buffer, parameters, slots } = this.#memory;
      const { def, options } = this.#optimizer;
      const tensor = this.#tensors[block.tensor];
      const f32 = (base: number) => new Float32Array(buffer, base + 4 * block.offset, block.length);
      const names = Object.keys(def.slots(options, tensor));
      view = {
        param: f32(parameters),
        grad: f32(gradient),
        slots: Object.fromEntries(names.map((name, i) => [name, f32(slots[i])])),
        tensor,
        first: block.offset - tensor.offset,
        normal: () => undefined,
        gemm: plainGemm,
      };
      views.set(block.index, view);
    }
    return view;
  }
}
