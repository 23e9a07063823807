import { uniformNumbers } from './uniform-numbers.ts';
import type { Workload } from './workloads.ts';

export interface Rows {
  readonly x: Float32Array | Int32Array;
  readonly y: Int32Array;
}

/** Rows that can be learned, one label in ten drawn at random. */
export function makeRows(workload: Workload, seed: number): Rows {
  return workload.input.dtype === 'i32' ? makeSequences(workload, seed) : makePoints(workload, seed);
}

/** The label of numbers is the class of the largest of `classes` random projections. */
function makePoints({ rows, input, classes }: Workload, seed: number): Rows {
  const features = input.shape.reduce((a, b) => a * b, 1);
  const uniform = uniformNumbers(seed);
  const unit = () => (2 * uniform() - 1) * Math.sqrt(3); // mean 0, variance 1
  const teacher = Float32Array.from({ length: classes * features }, unit);
  const x = Float32Array.from({ length: rows * features }, unit);
  const y = new Int32Array(rows);
  for (let r = 0; r < rows; r++) {
    let best = Number.NEGATIVE_INFINITY;
    for (let c = 0; c < classes; c++) {
      let score = 0;
      for (let i = 0; i < features; i++) score += x[r * features + i] * teacher[c * features + i];
      if (score > best) {
        best = score;
        y[r] = c;
      }
    }
    if (uniform() < 0.1) y[r] = Math.floor(classes * uniform());
  }
  return { x, y };
}

/** The label of a token is the next one, which follows from the two before it. */
function makeSequences({ rows, input, classes }: Workload, seed: number): Rows {
  const [positions] = input.shape;
  const uniform = uniformNumbers(seed);
  const draw = () => Math.floor(classes * uniform());
  const x = new Int32Array(rows * positions);
  const y = new Int32Array(rows * positions);
  for (let r = 0; r < rows; r++) {
    let [before, now] = [draw(), draw()];
    for (let i = r * positions; i < (r + 1) * positions; i++) {
      const next = uniform() < 0.1 ? draw() : (3 * before + now + 1) % classes;
      x[i] = now;
      y[i] = next;
      [before, now] = [now, next];
    }
  }
  return { x, y };
}
