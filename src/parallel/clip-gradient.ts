import { clipAdaptively, tensorCoefficient } from '../optim/clip.ts';
import { ownedTensors } from './pieces.ts';
import type { WorkerState } from './worker-state.ts';

/**
 * The part of clipping that acts on tensors or elements, after the decision on the global norm: writes the clipped mean gradient
 * of what this worker updates to the reduced gradient, where it is needed.
 */
export class TensorClip {
  readonly #worker: WorkerState;
  readonly #scales: Float64Array;
  /** Coefficient of each tensor by tensorNorm and blockRms. */
  readonly #coefficients: Float64Array;
  /** Tensors that this worker clips adaptively. */
  readonly #mine: readonly number[];
  readonly #work: Float64Array;
  readonly #views = new Map<number, { grad: Float32Array; param: Float32Array; out: Float32Array }[]>();

  constructor(worker: WorkerState) {
    const { session, rank } = worker;
    const { tensors, layout, memory } = session;
    this.#worker = worker;
    this.#scales = new Float64Array(memory.buffer, layout.clipScales, tensors.length);
    this.#coefficients = new Float64Array(tensors.length);
    this.#mine = ownedTensors(
      tensors.map(({ size }) => size),
      session.workers,
      rank,
    );
    this.#work = new Float64Array(2 * Math.max(...this.#mine.map((i) => columnsOf(tensors[i].shape)), 1));
  }

  /**
   * Gives the address of the gradient to update with; `always` has it written even where nothing is clipped by tensor or
   * element. Afterwards `scale` is what that gradient is still to be multiplied by, and the smallest coefficient.
   */
  apply(
    gradient: number,
    gradScale: number,
    weight: number,
    always: boolean,
  ): { gradient: number; gradScale: number; smallest: number } {
    const { session, kernels, optimizer } = this.#worker;
    const { clip, layout } = session;
    const byTensor = clip.tensorNorm !== undefined || clip.blockRms !== undefined;
    if (!byTensor && clip.adaptive === undefined && clip.value === undefined && !always) {
      return { gradient, gradScale, smallest: 1 };
    }
    let smallest = byTensor ? this.#decide(gradScale * weight, weight) : 1;
    if (!byTensor) this.#coefficients.fill(1);
    if (clip.adaptive !== undefined) smallest *= this.#clipUnits(gradient, gradScale, clip.adaptive);
    const source = clip.adaptive === undefined ? gradient : layout.reduced;
    for (const { tensor, offset, length } of optimizer.pieces) {
      const at = 4 * offset;
      const scale = clip.adaptive === undefined ? gradScale * this.#coefficients[tensor] : 1;
      if (clip.value !== undefined) kernels.clampScaled(layout.reduced + at, source + at, length, scale, clip.value);
      else if (clip.adaptive === undefined) kernels.scale(layout.reduced + at, source + at, length, scale);
    }
    this.#worker.rowGradients.clip(gradScale, this.#coefficients, clip.value);
    return { gradient: layout.reduced, gradScale: 1, smallest };
  }

  /** Coefficients from the norms of the blocks; the same in every worker. */
  #decide(clipScale: number, weight: number): number {
    const { session, norms } = this.#worker;
    const { tensors, blocks, clip } = session;
    this.#coefficients.fill(0);
    blocks.forEach(({ tensor }, i) => {
      this.#coefficients[tensor] += norms[i];
    });
    this.#worker.rowGradients.addSquaredNorms(this.#coefficients);
    let smallest = 1;
    for (let i = 0; i < tensors.length; i++) {
      const norm = (clipScale * Math.sqrt(this.#coefficients[i])) / weight;
      this.#coefficients[i] = tensorCoefficient(clip, norm, tensors[i].size);
      smallest = Math.min(smallest, this.#coefficients[i]);
    }
    return smallest;
  }

  /** Whole tensors into the reduced gradient, shared out over the workers; one barrier. */
  #clipUnits(gradient: number, gradScale: number, ratio: number): number {
    const { session, barrier } = this.#worker;
    const views = this.#viewsOf(gradient);
    this.#mine.forEach((tensor, i) => {
      const { grad, param, out } = views[i];
      const columns = columnsOf(session.tensors[tensor].shape);
      const scale = gradScale * this.#coefficients[tensor];
      this.#scales[tensor] = clipAdaptively(out, grad, param, columns, scale, ratio, this.#work);
    });
    barrier.wait(); // the gradient is clipped, and all coefficients are known
    let smallest = 1;
    for (let i = 0; i < this.#scales.length; i++) smallest = Math.min(smallest, this.#scales[i]);
    return smallest;
  }

  #viewsOf(gradient: number): { grad: Float32Array; param: Float32Array; out: Float32Array }[] {
    let views = this.#views.get(gradient);
    if (views === undefined) {
      const { memory, layout, tensors } = this.#worker.session;
      views = this.#mine.map((tensor) => {
        const { offset, size } = tensors[tensor];
        const at = (base: number) => new Float32Array(memory.buffer, base + 4 * offset, size);
        return { grad: at(gradient), param: at(layout.parameters), out: at(layout.reduced) };
      });
      this.#views.set(gradient, views);
    }
    return views;
  }
}

const columnsOf = (shape: readonly number[]): number => (shape.length < 2 ? 1 : (shape.at(-1) ?? 1));
