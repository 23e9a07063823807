import type { Objective, RacePlan, Slot, Trial, TrialResult } from '../../src/compare/contract.ts';
import { planRace, type RaceSettings } from '../../src/compare/plan.ts';
import { philox } from '../fixtures/philox.ts';

/** A race without training: accuracy is a hump over log10(lr), its top at the optimizer's own best rate, and grows with steps. */
export interface Hump {
  readonly best: number;
  /** Accuracy at the best rate after endless training. */
  readonly top: number;
  /** Rates from here on diverge. */
  readonly limit?: number;
  readonly crashes?: (trial: Trial) => boolean;
}

export const ACCURACY: Objective = { metric: 'val.accuracy', mode: 'max' };

export function fakePlan(
  grids: Readonly<Record<string, readonly number[]>>,
  settings: Partial<RaceSettings> = {},
): RacePlan {
  return planRace({
    objective: ACCURACY,
    entries: Object.entries(grids).map(([optimizer, grid]) => ({ optimizer, grid })),
    totalSteps: 270,
    seed: 1,
    finalSeeds: 8,
    finalists: 4,
    ...settings,
  });
}

/** Small, the same for the same seed and optimizer, and independent of the rest. */
function luck(trial: Trial): number {
  const text = `${trial.optimizer}${trial.seed}`;
  let hash = 7;
  for (const letter of text) hash = (Math.imul(hash, 31) + letter.charCodeAt(0)) >>> 0;
  return (philox(hash)() - 0.5) * 0.01;
}

export function fakeResult(trial: Trial, humps: Readonly<Record<string, Hump>>): TrialResult {
  const { best, top, limit = Number.POSITIVE_INFINITY, crashes } = humps[trial.optimizer];
  const base = { trial, wallSeconds: 1, cpuSeconds: 1 };
  if (crashes?.(trial)) {
    return { ...base, outcome: 'crashed', message: 'out of memory', curve: [], secondsPerStep: Number.NaN };
  }
  const distance = Math.log10(trial.lr / best);
  const curve = [];
  for (let step = trial.evaluateEvery; step <= trial.stopStep; step += trial.evaluateEvery) {
    const accuracy = (top + luck(trial) - 0.2 * distance * distance) * (1 - 0.5 ** (1 + step / 60));
    const loss = 1.2 - accuracy;
    curve.push({
      step,
      samples: 32 * step,
      seconds: 0.01 * step,
      loss,
      metrics: { accuracy: accuracy + 0.01, 'val.accuracy': accuracy, 'val.loss': loss + 0.02 },
    });
  }
  const diverged = trial.lr >= limit;
  return {
    ...base,
    outcome: diverged ? 'diverged' : 'finished',
    ...(diverged && { message: 'step 3: expected a finite loss' }),
    curve: diverged ? curve.slice(0, 1) : curve,
    secondsPerStep: 0.01,
  };
}

/** Answers at once, one trial at a time. */
export class FakeSlot implements Slot {
  readonly trials: Trial[] = [];
  closed = false;
  #busy = false;
  readonly #humps: Readonly<Record<string, Hump>>;

  constructor(humps: Readonly<Record<string, Hump>>) {
    this.#humps = humps;
  }

  async run(trial: Trial): Promise<TrialResult | undefined> {
    if (this.#busy) throw new Error('two trials at a time in one slot');
    this.#busy = true;
    this.trials.push(trial);
    await Promise.resolve();
    this.#busy = false;
    return this.closed ? undefined : fakeResult(trial, this.#humps);
  }

  close(): void {
    this.closed = true;
  }
}
