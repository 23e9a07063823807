/** What a learning-rate range test measured, and what to read from it. Pure. */

/** One step of the sweep. */
export interface LrPoint {
  readonly step: number;
  readonly lr: number;
  /** Loss of the step's own batch, before its update. */
  readonly loss: number;
}

export interface SmoothedPoint extends LrPoint {
  /** Loss without most of the noise between batches. */
  readonly smoothed: number;
}

/** A step keeps this share of the mean of the steps before it. */
const KEEP = 0.9;
/** The sweep has diverged when the smoothed loss is this many times the lowest. */
export const DIVERGED = 4;
/** Steps at the beginning that say nothing yet: their mean is over too few batches. */
const SKIP_BEGIN = 5;
/** A fall of less than this share of the loss is noise. */
const LEAST_FALL = 0.02;

/**
 * Exponential means, forwards and backwards, averaged: one direction alone lags, and would place a fall at a larger rate than the
 * one that caused it. Both are corrected for their beginning, as Adam's means are.
 */
export function smooth(points: readonly LrPoint[]): SmoothedPoint[] {
  const losses = points.map((p) => p.loss);
  const forwards = means(losses);
  const backwards = means(losses.toReversed()).reverse();
  return points.map((point, i) => ({ ...point, smoothed: 0.5 * (forwards[i] + backwards[i]) }));
}

function means(values: readonly number[]): number[] {
  let sum = 0;
  let weight = 0;
  return values.map((value) => {
    sum = KEEP * sum + (1 - KEEP) * value;
    weight = KEEP * weight + (1 - KEEP);
    return sum / weight;
  });
}

/** Watches a sweep as it goes: true from the step on at which the loss has left the ground for good. */
export class DivergenceWatch {
  #sum = 0;
  #weight = 0;
  #best = Number.POSITIVE_INFINITY;
  #seen = 0;
  #diverged = false;

  add(loss: number): boolean {
    if (this.#diverged) return true;
    if (!Number.isFinite(loss)) {
      this.#diverged = true;
      return true;
    }
    this.#sum = KEEP * this.#sum + (1 - KEEP) * loss;
    this.#weight = KEEP * this.#weight + (1 - KEEP);
    const mean = this.#sum / this.#weight;
    this.#seen += 1;
    // A loss may be negative or near zero, where a multiple means nothing: the height of the start counts as well.
    if (this.#seen > SKIP_BEGIN && mean > this.#best + (DIVERGED - 1) * Math.abs(this.#best)) this.#diverged = true;
    this.#best = Math.min(this.#best, mean);
    return this.#diverged;
  }
}

export interface Suggestion {
  /** Where the smoothed loss falls fastest, by the logarithm of the rate. */
  readonly lr: number;
  /** Where it is lowest: too large to train with. */
  readonly lowest: number;
}

/**
 * The rate at the steepest descent of the smoothed loss before its lowest point; undefined if the loss does not fall by more than
 * noise.
 */
export function suggestRate(points: readonly SmoothedPoint[]): Suggestion | undefined {
  const usable = points.slice(Math.min(SKIP_BEGIN, Math.floor(points.length / 4)));
  if (usable.length < 4) return undefined;
  let low = 0;
  for (const [i, { smoothed }] of usable.entries()) if (smoothed < usable[low].smoothed) low = i;
  const start = usable[0].smoothed;
  if (!(start - usable[low].smoothed > LEAST_FALL * Math.abs(start)) || low < 2) return undefined;
  let steepest = 1;
  let slope = Number.POSITIVE_INFINITY;
  for (let i = 1; i < low; i++) {
    const rise = usable[i + 1].smoothed - usable[i - 1].smoothed;
    const run = Math.log(usable[i + 1].lr / usable[i - 1].lr);
    if (rise / run >= slope) continue;
    slope = rise / run;
    steepest = i;
  }
  return { lr: usable[steepest].lr, lowest: usable[low].lr };
}
