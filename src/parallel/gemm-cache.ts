import type { GemmOperands } from '../kernels/gemm.ts';
import type { View } from '../optim/contract.ts';

/**
 * The matrix products of one piece's update: bound once, because the same ones come in the same order in every update. Each
 * is looked at before it runs; one that has changed is bound anew.
 */
export class GemmCache {
  readonly #bind: (operands: GemmOperands) => () => void;
  readonly #calls: { operands: GemmOperands; run: () => void }[] = [];
  #next = 0;

  constructor(bind: (operands: GemmOperands) => () => void) {
    this.#bind = bind;
  }

  /** Before each update. */
  restart(): void {
    this.#next = 0;
  }

  readonly gemm: View['gemm'] = (transA, transB, m, n, k, a, b, beta, c) => {
    const known = this.#calls[this.#next];
    const same =
      known !== undefined &&
      known.operands.a === a.byteOffset &&
      known.operands.b === b.byteOffset &&
      known.operands.c === c.byteOffset &&
      known.operands.m === m &&
      known.operands.n === n &&
      known.operands.k === k &&
      known.operands.transA === transA &&
      known.operands.transB === transB &&
      known.operands.beta === beta;
    if (!same) {
      const operands = {
        transA, transB, m, n, k, a: a.byteOffset, lda: transA === 1 ? m : k, b: b.byteOffset, ldb: transB === 1 ? k : n, beta,
        c: c.byteOffset, ldc: n,
      }; // biome-ignore format: grouped by operand
      this.#calls[this.#next] = { operands, run: this.#bind(operands) };
    }
    this.#calls[this.#next].run();
    this.#next += 1;
  };
}
