import type { CompareEvent } from '../compare/compare.ts';
import type { TrialResult } from '../compare/contract.ts';
import type { Board } from '../dashboard/board.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import type { RunView } from '../dashboard/run-view.ts';
import type { StepRecord } from '../record/contract.ts';
import { Controls } from '../train/controls.ts';

/** Trials that a page shows: more curves cannot be told apart. */
const MOST_RUNS = 60;

/** The trials of a comparison as runs of a page: a curve each when it is done, of an optimizer's colour. */
export class ComparePage {
  readonly #board: Board;
  readonly #several: boolean;
  /** By job, optimizer, learning rate and seed of a final: a longer trial takes the place of a shorter one. In the order of their latest trials. */
  readonly #runs = new Map<string, Shown>();

  constructor(board: Board, several: boolean) {
    this.#board = board;
    this.#several = several;
  }

  add(event: CompareEvent): void {
    if (event.kind !== 'trial' || event.result.curve.length === 0) return;
    const { optimizer, lr, seed, phase } = event.result.trial;
    if (phase === 'calibrate') return;
    const job = this.#several ? `${event.job}: ` : '';
    const name = `${job}${optimizer}, lr ${lr}${phase === 'final' ? `, seed ${seed}` : ''}`;
    const facts = { name, group: `${job}${optimizer}`, stepsPerEpoch: 1, ...factsOf(event.result) };
    const run = this.#runs.get(name)?.run ?? this.#freed() ?? this.#board.addRun(facts);
    this.#runs.delete(name);
    this.#runs.set(name, { run, final: phase === 'final' });
    run.restart(facts);
    run.state = event.result.outcome === 'finished' ? 'ended' : 'failed';
    for (const point of event.result.curve) addPoint(run, point, event.result);
    this.#board.announce(run);
  }

  /** Where the page is full: the oldest trial that only looked for a learning rate makes room, or the oldest. */
  #freed(): RunView | undefined {
    if (this.#runs.size < MOST_RUNS) return undefined;
    const all = [...this.#runs];
    const [name, { run }] = all.find(([, { final }]) => !final) ?? all[0];
    this.#runs.delete(name);
    return run;
  }
}

interface Shown {
  readonly run: RunView;
  readonly final: boolean;
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
