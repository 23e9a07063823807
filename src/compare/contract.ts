/** What is compared: a number that evaluations report, its better direction, and perhaps a value to reach. */
export interface Objective {
  /** 'val.accuracy', 'val.loss' ... */
  readonly metric: string;
  readonly mode: 'min' | 'max';
  readonly target?: number;
}

/** One run of the user's job on one worker: an optimizer at a learning rate with a seed, from step 1 to `stopStep`. */
export interface Trial {
  /** All that makes it different from other trials of the race; a result is found again by it. */
  readonly id: string;
  /** 'calibrate': only to see how long a step takes. 'tune': looks for the learning rate. 'final': a finalist on a fresh seed. */
  readonly phase: 'calibrate' | 'tune' | 'final';
  /** Kind of the optimizer. */
  readonly optimizer: string;
  /** Largest learning rate of the run; the job's schedule gives its shape. */
  readonly lr: number;
  readonly seed: number;
  readonly stopStep: number;
  /** Length of the whole run that the schedule is made for; a rung of successive halving stops before. */
  readonly totalSteps: number;
  /** Length of the run that the job asks for, where a budget has cut it: the schedule is cut alike. */
  readonly stepsOfJob?: number;
  readonly evaluateEvery: number;
}

/** Where a run stood at an evaluation. */
export interface CurvePoint {
  readonly step: number;
  readonly samples: number;
  /** Seconds of training steps so far: without start-up and evaluations. */
  readonly seconds: number;
  /** Mean training loss since the point before. */
  readonly loss: number;
  /** Training metrics since the point before, and those of the evaluation ('val.loss' ...). */
  readonly metrics: Readonly<Record<string, number>>;
}

/** What came of a trial. A failure is a result like any other. */
export interface TrialResult {
  readonly trial: Trial;
  /**
   * 'diverged': loss or gradient stopped being finite, or training ended far above where it began. 'crashed': an error, or
   * the process of the trial died.
   */
  readonly outcome: 'finished' | 'diverged' | 'crashed';
  /** Why it failed. */
  readonly message?: string;
  readonly curve: readonly CurvePoint[];
  /** Of a training step: the median. */
  readonly secondsPerStep: number;
  /** From the order to the answer, with loading and evaluations. */
  readonly wallSeconds: number;
  /** Used by the process of the trial meanwhile. */
  readonly cpuSeconds: number;
}

/** A rung of successive halving: every optimizer gets `promoted + extras` trials of `step` steps. */
export interface Rung {
  readonly step: number;
  /** Best learning rates of the rung before that go on (of the first rung: the grid). */
  readonly promoted: number;
  /** Trials at learning rates that the results suggest: beyond the border if the best lies there, else beside the best. */
  readonly extras: number;
}

/** Everything that decides which trials are run. Plain data; fixed before the first counts. */
export interface RacePlan {
  readonly objective: Objective;
  readonly entries: readonly { readonly optimizer: string; readonly grid: readonly number[] }[];
  readonly rungs: readonly Rung[];
  readonly totalSteps: number;
  /** As in a trial. */
  readonly stepsOfJob?: number;
  readonly evaluateEvery: number;
  readonly tuningSeed: number;
  /** Seeds that tuning has not seen. */
  readonly finalSeeds: readonly number[];
  /** Most optimizers that get to the finals. */
  readonly finalists: number;
}

/** A place where one trial at a time runs: a process of its own, so that a crash is a result and not the end. */
export interface Slot {
  /** Never rejects; undefined when the slot was closed meanwhile. */
  run(trial: Trial, limits?: TrialLimits): Promise<TrialResult | undefined>;
  /** Ends the process, whatever it does. */
  close(): void;
}

export interface TrialLimits {
  /** Stops after about so many seconds of training. */
  readonly seconds?: number;
}
