import type { CompareEvent } from '../compare/compare.ts';
import type { Objective, TrialResult } from '../compare/contract.ts';
import { compareResults } from '../compare/ranking.ts';
import type { Board } from '../dashboard/board.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import type { RunView } from '../dashboard/run-view.ts';
import type { StepRecord } from '../record/contract.ts';
import { Controls } from '../train/controls.ts';

/** Trials that a page keeps: more curves cannot be told apart. */
const MOST_RUNS = 60;

/**
 * The trials of a comparison as runs of a page: a curve each when it is done, of an optimizer's colour. Shown are the best of each optimizer
 * so far, and once there are finals those; the others are there to be ticked.
 */
export class ComparePage {
  readonly #board: Board;
  readonly #several: boolean;
  /** By job, optimizer, learning rate and seed of a final: a longer trial takes the place of a shorter one. In the order of their latest trials. */
  readonly #trials = new Map<string, Shown>();
  readonly #objectives = new Map<string, Objective>();

  constructor(board: Board, several: boolean) {
    this.#board = board;
    this.#several = several;
  }

  add(event: CompareEvent): void {
    if (event.kind === 'plan') this.#objectives.set(event.job, event.plan.objective);
    if (event.kind !== 'trial' || event.result.curve.length === 0) return;
    const { job, result } = event;
    const { optimizer, lr, seed, phase } = result.trial;
    if (phase === 'calibrate') return;
    const prefix = this.#several ? `${job}: ` : '';
    const name = `${prefix}${optimizer}, lr ${lr}${phase === 'final' ? `, seed ${seed}` : ''}`;
    const facts = { name, group: `${prefix}${optimizer}`, ...factsOf(result) };
    const run = this.#trials.get(name)?.run ?? this.#freed() ?? this.#board.addRun({ ...facts, hidden: true });
    this.#trials.delete(name);
    this.#trials.set(name, { run, job, result });
    run.restart({ ...facts, hidden: true });
    run.state = result.outcome === 'finished' ? 'ended' : 'failed';
    for (const point of result.curve) addPoint(run, point, result);
    this.#choose(job);
    this.#board.announce(run);
  }

  /** Shows those of a job that matter now. */
  #choose(job: string): void {
    const objective = this.#objectives.get(job);
    const all = [...this.#trials.values()].filter((trial) => trial.job === job);
    const finals = all.filter(({ result }) => result.trial.phase === 'final');
    const best = new Map<string, Shown>();
    for (const trial of objective ? all : []) {
      const { optimizer } = trial.result.trial;
      const known = best.get(optimizer);
      if (!known || (objective && isBetter(trial.result, known.result, objective))) best.set(optimizer, trial);
    }
    const shown = new Set(finals.length > 0 || !objective ? finals : best.values());
    for (const trial of all) {
      if (trial.run.hidden !== shown.has(trial)) continue;
      trial.run.hidden = !trial.run.hidden;
      this.#board.announce(trial.run);
    }
  }

  /** Where the page is full: the oldest trial that only looked for a learning rate makes room, or the oldest. */
  #freed(): RunView | undefined {
    if (this.#trials.size < MOST_RUNS) return undefined;
    const all = [...this.#trials];
    const searching = all.filter(([, { result }]) => result.trial.phase === 'tune');
    const [name, { run }] = searching.find(([, trial]) => trial.run.hidden) ?? searching[0] ?? all[0];
    this.#trials.delete(name);
    return run;
  }
}

interface Shown {
  readonly run: RunView;
  readonly job: string;
  readonly result: TrialResult;
}

/** What got further in the race is better. */
function isBetter(a: TrialResult, b: TrialResult, objective: Objective): boolean {
  const further = a.trial.stopStep - b.trial.stopStep;
  return further !== 0 ? further > 0 : compareResults(a, b, objective) < 0;
}

function factsOf({ trial, curve }: TrialResult) {
  const metrics = Object.keys(curve[0]?.metrics ?? {}).filter((name) => !name.startsWith('val.'));
  return { totalSteps: trial.totalSteps, metrics };
}

/** A point between two evaluations as one step: its means are those of the steps since the point before. */
function addPoint(
  run: RunView,
  { step, samples, seconds, loss, metrics }: TrialResult['curve'][number],
  { trial }: TrialResult,
): void {
  const before = run.lastStep;
  const steps = Math.max(1, step - before);
  const training = Object.entries(metrics).filter(([name]) => !name.startsWith('val.'));
  const record: StepRecord = {
    kind: 'step',
    step,
    epoch: 1,
    loss,
    metrics: Object.fromEntries(training),
    lr: trial.lr,
    gradNorm: Number.NaN,
    clipScale: 1,
    samples: samples / Math.max(1, step),
    timings: {
      stepMs: (1000 * (seconds - run.seconds)) / steps,
      gatherMs: Number.NaN,
      computeMs: Number.NaN,
      waitMs: Number.NaN,
      reduceMs: Number.NaN,
      updateMs: Number.NaN,
    },
  };
  run.add([record], seconds);
  const evaluated = Object.entries(metrics).filter(([name]) => name.startsWith('val.'));
  if (evaluated.length > 0) {
    run.add([{ kind: 'evaluation', step, epoch: 1, split: 'val', metrics: Object.fromEntries(evaluated), seconds: 0 }]);
  }
}

/** Aborts when 'Stop' is pressed. A comparison can neither be paused nor saved: it saves every trial anyway. */
export function stoppedBy(page: Dashboard): AbortSignal {
  const controls = new Controls();
  const abort = new AbortController();
  controls.onChange(() => controls.wanted.stop && abort.abort());
  page.board.control(controls, ['stop']);
  controls.enter('running');
  return abort.signal;
}
