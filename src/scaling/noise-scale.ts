import type { NoiseSample } from '../parallel/noise-sampler.ts';

/**
 * The gradient-noise scale: McCandlish, Kaplan, Amodei et al., "An Empirical Model of Large-Batch Training", 2018, appendix A.
 *
 * The squared norm of the mean gradient of b rows is, on average, |G|^2 + tr(S) / b, with G the true gradient and S the covariance of
 * single rows. Two sizes of b give both; the critical batch is B = tr(S) / |G|^2. A batch much below it gives nearly twice the
 * progress for twice the rows; one much above it gives nothing.
 */
export interface NoiseScale {
  /** Rows. Infinity where the true gradient is lost in the noise. */
  readonly criticalBatch: number;
  /** tr(S) and |G|^2, means over the samples. */
  readonly variance: number;
  readonly squaredGradient: number;
  readonly samples: number;
  /** From leaving out each tenth of the samples in turn (jackknife): one standard error. */
  readonly error: number;
}

const GROUPS = 10;

/** Undefined for no samples. Numerator and denominator are averaged apart: the mean of their ratio would be biased. */
export function noiseScale(samples: readonly NoiseSample[]): NoiseScale | undefined {
  if (samples.length === 0) return undefined;
  const all = estimate(samples);
  const groups = Math.min(GROUPS, samples.length);
  const without = Array.from(
    { length: groups },
    (_, g) => estimate(samples.filter((_, i) => i % groups !== g)).criticalBatch,
  );
  const mean = without.reduce((a, b) => a + b, 0) / groups;
  const variance = without.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return {
    ...all,
    samples: samples.length,
    error: groups < 2 ? Number.POSITIVE_INFINITY : Math.sqrt(((groups - 1) / groups) * variance),
  };
}

function estimate(samples: readonly NoiseSample[]): Omit<NoiseScale, 'samples' | 'error'> {
  let variance = 0;
  let squaredGradient = 0;
  for (const { parts, whole, inverseRows, inverseBatch } of samples) {
    const ofRows = (parts - whole) / (inverseRows - inverseBatch);
    variance += ofRows / samples.length;
    squaredGradient += (whole - ofRows * inverseBatch) / samples.length;
  }
  const criticalBatch = squaredGradient > 0 ? Math.max(0, variance) / squaredGradient : Number.POSITIVE_INFINITY;
  return { criticalBatch, variance, squaredGradient };
}

/**
 * Steps that a batch needs, as a multiple of those of an infinite batch: 1 + B / batch. Adding workers to a batch that grows with them
 * pays as long as this falls.
 */
export function stepsFactor(criticalBatch: number, batch: number): number {
  return 1 + criticalBatch / batch;
}

/** Workers of so many rows each whose batch is the critical one: beyond, further workers shorten the training by less than half of their share. */
export function workersUntilCritical(
  { criticalBatch }: Pick<NoiseScale, 'criticalBatch'>,
  rowsPerWorker: number,
): number {
  return Math.max(1, Math.floor(criticalBatch / rowsPerWorker));
}
