import { setTimeout as pause } from 'node:timers/promises';
import { runOwner } from '../checkpoint/lock.ts';
import { Calendar } from '../parallel/calendar.ts';
import type { EvaluationRecord, EventRecord, RunHeader, StepRecord } from '../record/contract.ts';
import { jobFacts } from '../record/header-facts.ts';
import { MetricsFile } from '../record/metrics-file.ts';
import { formatCount, formatDuration } from './format.ts';
import type { Io } from './io.ts';
import { terminal } from './terminal.ts';

/** How often the run is looked at. */
const LOOK_MS = 250;

/** `lockstep watch <run folder>`: the progress of a run that goes on in another process, until it ends or Ctrl-C. */
export async function watchCommand(folder: string, io: Io): Promise<void> {
  const display = terminal({ stream: io.progress });
  const watched = new Watched(display);
  const file = await MetricsFile.open(folder, watched);
  try {
    await file.readMore();
    watched.caughtUp();
    for (;;) {
      const alive = runOwner(folder) !== undefined; // before reading: what it wrote last is read then
      await file.readMore();
      watched.show();
      if (!alive || watched.over || io.stop.aborted) break;
      await pause(LOOK_MS, undefined, { signal: io.stop }).catch(() => undefined);
    }
  } finally {
    display.close();
    await file.close();
  }
  if (file.damaged > 0) io.out(`${file.damaged} damaged ${file.damaged === 1 ? 'line' : 'lines'} passed over`);
  io.out(watched.lastWord(io.stop.aborted));
}

/** Turns the records of a file into what a progress display takes. Of what was there before only the newest counts. */
class Watched {
  readonly #display: ReturnType<typeof terminal>;
  #header: RunHeader | undefined;
  #calendar = new Calendar({ stepsPerEpoch: 1, totalSteps: 0 });
  #steps: StepRecord[] = [];
  #last: StepRecord | undefined;
  #end: EventRecord | undefined;
  #live = false;
  #epoch = { number: 0, samples: 0, loss: 0, metrics: {} as Record<string, number>, seconds: 0 };

  constructor(display: ReturnType<typeof terminal>) {
    this.#display = display;
  }

  get over(): boolean {
    return this.#end !== undefined;
  }

  header(header: RunHeader): void {
    this.#header = header;
    this.#calendar = jobFacts(header).calendar;
    this.#end = undefined;
    if (this.#live) this.#begin();
  }

  step(numbers: Float64Array, names: readonly string[]): void {
    const value = (name: string) => numbers[names.indexOf(name)] ?? Number.NaN;
    const metrics: Record<string, number> = {};
    for (const [i, name] of names.entries()) if (name.startsWith('metrics.')) metrics[name.slice(8)] = numbers[i];
    this.#last = undefined;
    const record: StepRecord = {
      kind: 'step',
      step: value('step'),
      epoch: value('epoch'),
      loss: value('loss'),
      metrics,
      lr: value('lr'),
      gradNorm: value('gradNorm'),
      clipScale: value('clipScale'),
      samples: value('samples'),
      timings: {
        stepMs: value('timings.stepMs'),
        gatherMs: value('timings.gatherMs'),
        computeMs: value('timings.computeMs'),
        waitMs: value('timings.waitMs'),
        reduceMs: value('timings.reduceMs'),
        updateMs: value('timings.updateMs'),
      },
    };
    this.#last = record;
    this.#count(record);
    if (!this.#live) return;
    this.#steps.push(record);
    if (this.#calendar.endsEpoch(record.step)) {
      this.show();
      this.#endEpoch(record);
    }
  }

  record(record: EvaluationRecord | EventRecord): void {
    if (record.kind === 'event' && (record.event === 'end' || record.event === 'failed')) this.#end = record;
    if (!this.#live) return;
    this.show();
    if (record.kind === 'evaluation') this.#display({ kind: 'evaluation', record });
    else if (record.event !== 'end' && record.event !== 'checkpoint')
      this.#display({ kind: 'note', text: record.text });
  }

  /** What comes from now on is shown. */
  caughtUp(): void {
    this.#live = true;
    if (this.#header) this.#begin();
    if (this.#last && !this.over) this.#steps.push(this.#last);
  }

  show(): void {
    if (this.#steps.length === 0) return;
    this.#display({ kind: 'steps', records: this.#steps, calendar: this.#calendar });
    this.#steps = [];
  }

  lastWord(stopped: boolean): string {
    const step = this.#last?.step ?? 0;
    if (this.#end) {
      const seconds = this.#end.data?.seconds;
      return `${this.#end.text}${typeof seconds === 'number' ? `, ${formatDuration(seconds)}` : ''}`;
    }
    return stopped ? `at step ${formatCount(step)}, and it goes on` : `interrupted after step ${formatCount(step)}`;
  }

  #begin(): void {
    if (this.#header) this.#display({ kind: 'start', header: this.#header, calendar: this.#calendar, notes: [] });
  }

  #count({ epoch, samples, loss, metrics, timings }: StepRecord): void {
    if (this.#epoch.number !== epoch) this.#epoch = { number: epoch, samples: 0, loss: 0, metrics: {}, seconds: 0 };
    const sums = this.#epoch;
    sums.samples += samples;
    sums.loss += samples * loss;
    sums.seconds += timings.stepMs / 1000;
    for (const [name, value] of Object.entries(metrics))
      sums.metrics[name] = (sums.metrics[name] ?? 0) + samples * value;
  }

  #endEpoch({ epoch, step }: StepRecord): void {
    const { samples, loss, metrics, seconds } = this.#epoch;
    const means = Object.fromEntries(Object.entries(metrics).map(([name, sum]) => [name, sum / samples]));
    const samplesPerSec = samples / seconds;
    this.#display({ kind: 'epoch', epoch, step, loss: loss / samples, metrics: means, samplesPerSec, seconds });
  }
}
