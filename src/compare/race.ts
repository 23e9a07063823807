import type { RacePlan, Slot, Trial, TrialResult } from './contract.ts';
import { nextTrials } from './planner.ts';

export interface RaceOptions {
  readonly plan: RacePlan;
  /** Results of an earlier race of the same plan. */
  readonly done: readonly TrialResult[];
  readonly slots: readonly Slot[];
  /** Called with each result as it comes; awaited, so that what was reported is on disk. */
  readonly onResult?: (result: TrialResult, underWay: number) => void | Promise<void>;
  /** Ends the race at once: trials under way are lost, results are kept. */
  readonly signal?: AbortSignal;
  /** Seconds from now after which the race ends likewise. */
  readonly budgetSeconds?: number;
}

export interface RaceOutcome {
  readonly results: readonly TrialResult[];
  readonly ended: 'complete' | 'budget' | 'aborted';
  readonly seconds: number;
  /** Share of the slots' time in which a trial was under way. */
  readonly occupied: number;
  /** Processor seconds of the trials by the slots' time: below `occupied` where trials wait or other programs take the cores. */
  readonly cpu: number;
}

/** Runs trials as the planner asks for them, one a slot, until it asks for no more. */
export async function runRace(options: RaceOptions): Promise<RaceOutcome> {
  const { plan, slots, signal, onResult } = options;
  const results = [...options.done];
  const free = [...slots];
  const underWay = new Map<string, Promise<void>>();
  const started = performance.now();
  let [occupiedMs, cpuSeconds] = [0, 0];
  let ended: RaceOutcome['ended'] = 'complete';
  let failure: unknown;

  const start = (slot: Slot, trial: Trial): void => {
    const from = performance.now();
    const work = slot.run(trial).then(async (result) => {
      occupiedMs += performance.now() - from;
      underWay.delete(trial.id);
      free.push(slot);
      if (!result) return;
      cpuSeconds += result.cpuSeconds;
      results.push(result);
      await onResult?.(result, underWay.size);
    });
    underWay.set(
      trial.id,
      work.catch((error: unknown) => {
        failure ??= error;
      }),
    );
  };

  const stop = stopper(signal, options.budgetSeconds, (why) => {
    ended = why;
  });
  try {
    for (;;) {
      if (ended !== 'complete' || failure !== undefined) break;
      const waiting = nextTrials(plan, results).filter(({ id }) => !underWay.has(id));
      for (const trial of waiting) {
        const slot = free.pop();
        if (!slot) break;
        start(slot, trial);
      }
      if (underWay.size === 0) break;
      await Promise.race([...underWay.values(), stop.stopped]);
    }
  } finally {
    stop.release();
    if (underWay.size > 0) for (const slot of slots) slot.close();
    await Promise.all(underWay.values());
  }
  if (failure !== undefined) throw failure;
  const seconds = (performance.now() - started) / 1000;
  const slotSeconds = slots.length * seconds;
  return { results, ended, seconds, occupied: occupiedMs / 1000 / slotSeconds, cpu: cpuSeconds / slotSeconds };
}

/** One promise for the two ways in which a race is cut short. */
function stopper(
  signal: AbortSignal | undefined,
  budgetSeconds: number | undefined,
  onStop: (why: 'budget' | 'aborted') => void,
): { stopped: Promise<void>; release: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let onAbort = () => {};
  const stopped = new Promise<void>((resolve) => {
    const stop = (why: 'budget' | 'aborted') => {
      onStop(why);
      resolve();
    };
    onAbort = () => stop('aborted');
    if (signal?.aborted) stop('aborted');
    signal?.addEventListener('abort', onAbort);
    if (budgetSeconds !== undefined) timer = setTimeout(() => stop('budget'), 1000 * budgetSeconds);
  });
  return {
    stopped,
    release: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}
