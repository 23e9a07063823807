import { LockstepError } from '../errors.ts';
import { CONTROL_WORDS } from '../parallel/control.ts';
import { readNoise } from '../parallel/noise-sampler.ts';
import { RECORD_FIELDS, RECORD_SUMS, RecordRing, RING_CAPACITY } from '../parallel/record-ring.ts';
import type { Session } from '../parallel/session.ts';
import { TimelineReader } from '../parallel/timeline.ts';
import type { EvaluationRecord, EventName, HistogramRecord, RunHeader, Sink, StepRecord } from '../record/contract.ts';
import { History } from '../record/history.ts';
import { JsonlSink } from '../record/jsonl.ts';
import { SinkFan } from '../record/sink-fan.ts';
import type { TrainSummary } from './callbacks.ts';
import { finishSums } from './compile.ts';
import type { EpochState } from './manifest-facts.ts';
import type { ProgressEvent, TrainOptions } from './options.ts';
import type { RunPlan } from './plan-run.ts';

/** How often the ring is emptied while workers run. */
const DRAIN_MS = 50;
/** Steps before which the share of clipped ones says nothing. */
const ENOUGH_TO_JUDGE = 20;

const AT = Object.fromEntries(RECORD_FIELDS.map((name, i) => [name, i])) as Record<
  (typeof RECORD_FIELDS)[number],
  number
>;

/** The main thread's book of a run: drains the record ring into history, sinks, callbacks and progress. */
export class RunLog {
  readonly header: RunHeader;
  readonly history: History;
  readonly evaluations: EvaluationRecord[] = [];
  epochLoss = Number.NaN;
  epochMetrics: Readonly<Record<string, number>> = {};
  samples = 0;
  lastStep = 0;
  /** Steps that were trained here and not before a resume. */
  trainedSteps = 0;
  /** Steps that were left out because their numbers were not finite. */
  skipped = 0;
  /** Updates of this process whose gradient was shortened. */
  #clipped = 0;

  readonly #plan: RunPlan;
  readonly #options: TrainOptions;
  readonly #sinks: SinkFan;
  readonly #started = performance.now();
  readonly #epochSums: Float64Array;
  /** What sinks have said before the run began. */
  #early: readonly string[] = [];
  #ring: RecordRing | undefined;
  #session: Session | undefined;
  /** Only where a sink looks at it. */
  #timeline: TimelineReader | undefined;
  #timer: NodeJS.Timeout | undefined;
  #epochSamples = 0;
  /** Of them, those that were trained here and not before a resume, and since when. */
  #epochSamplesHere = 0;
  #epochStarted = performance.now();
  #lastRecord: StepRecord | undefined;
  #closing: Promise<readonly Error[]> | undefined;

  private constructor(plan: RunPlan, header: RunHeader, options: TrainOptions, sinks: SinkFan) {
    this.#plan = plan;
    this.#options = options;
    this.#sinks = sinks;
    this.header = header;
    this.history = new History(plan.compiled.metrics.map((m) => m.name));
    this.#epochSums = new Float64Array(plan.compiled.sums.length);
  }

  static async open(plan: RunPlan, header: RunHeader, options: TrainOptions): Promise<RunLog> {
    const sinks: Sink[] = [...(options.sinks ?? [])];
    if (options.runDir !== undefined) sinks.unshift(new JsonlSink(options.runDir));
    const early: string[] = [];
    let report = (text: string): void => void early.push(text);
    const log = new RunLog(plan, header, options, await SinkFan.open(sinks, header, (text) => report(text)));
    report = (text) => log.note(text);
    log.#early = early;
    return log;
  }

  /** Continues the books of an earlier run; `loss` and `metrics` are those of its last whole epoch, if there was one. */
  takeUp(
    step: number,
    { sums, samples, skipped }: EpochState,
    loss = Number.NaN,
    metrics: Readonly<Record<string, number>> = {},
  ): void {
    this.epochLoss = loss;
    this.epochMetrics = metrics;
    this.lastStep = step;
    this.skipped = skipped;
    this.#epochSums.set(sums);
    this.#epochSamples = samples;
  }

  /** Where the books of the current epoch stand. */
  epochState(): EpochState {
    return {
      epoch: this.epochOf(this.lastStep),
      sums: [...this.#epochSums],
      samples: this.#epochSamples,
      skipped: this.skipped,
    };
  }

  attach(session: Session, startNotes: readonly string[] = []): void {
    this.#session = session;
    const { buffer } = session.memory;
    const width = RECORD_SUMS + session.sums.length;
    this.#ring = new RecordRing(
      new Float64Array(buffer, session.layout.ring, RING_CAPACITY * width),
      new Int32Array(buffer, session.layout.control, CONTROL_WORDS),
    );
    if (this.#sinks.wantsTimeline) {
      this.#timeline = new TimelineReader(buffer, session.layout.timelines);
      this.#timeline.startAfter(this.lastStep);
    }
    const { compiled, notes } = this.#plan;
    this.#options.onProgress?.({
      kind: 'start',
      header: this.header,
      calendar: compiled.calendar,
      notes: [...startNotes, ...notes, ...this.#early],
    });
    for (const text of [...startNotes, ...this.#early]) this.#event('note', text);
  }

  /** Keeps draining until `unfollow`. What a callback throws goes to `onError`: out of a timer it would end the process. */
  follow(onError: (error: unknown) => void): void {
    if (this.#epochSamplesHere === 0) this.#epochStarted = performance.now();
    this.#timer = setInterval(() => {
      try {
        this.drain();
      } catch (error) {
        onError(error);
      }
    }, DRAIN_MS);
  }

  unfollow(): void {
    clearInterval(this.#timer);
    this.drain();
  }

  get lastRecord(): StepRecord {
    if (!this.#lastRecord) throw new RangeError('run log: no step was recorded');
    return this.#lastRecord;
  }

  epochOf(step: number): number {
    return this.#plan.compiled.calendar.epochOf(step);
  }

  elapsedSeconds(): number {
    return (performance.now() - this.#started) / 1000;
  }

  /** Closes the books of an epoch: weighted means over its steps. */
  endEpoch(step: number): { epoch: number; loss: number } {
    const { compiled } = this.#plan;
    const { loss, metrics } = finishSums(compiled.metrics, compiled.sums, (i) => this.#epochSums[i]);
    const epoch = this.epochOf(step);
    if (this.#epochSamples > 0) {
      const seconds = (performance.now() - this.#epochStarted) / 1000;
      this.epochLoss = loss;
      this.epochMetrics = metrics;
      const samplesPerSec = this.#epochSamplesHere / seconds;
      this.#options.onProgress?.({ kind: 'epoch', epoch, step, loss, metrics, samplesPerSec, seconds });
    }
    this.#epochSums.fill(0);
    this.#epochSamples = 0;
    this.#epochSamplesHere = 0;
    return { epoch, loss: this.epochLoss };
  }

  evaluation(record: EvaluationRecord): void {
    this.evaluations.push(record);
    this.#sinks.write([record]);
    this.#options.onProgress?.({ kind: 'evaluation', record });
  }

  checkpoint(written: Omit<Extract<ProgressEvent, { kind: 'checkpoint' }>, 'kind'>): void {
    const { step, ...data } = written;
    this.#event('checkpoint', `checkpoint of step ${step} written`, data, step);
    this.#options.onProgress?.({ kind: 'checkpoint', ...written });
  }

  histograms(record: HistogramRecord): void {
    this.#sinks.write([record]);
  }

  /** A sentence for whoever watches, and an event for the records. */
  note(text: string, event: EventName = 'note', data?: Readonly<Record<string, unknown>>, step = this.lastStep): void {
    this.#event(event, text, data, step);
    this.#options.onProgress?.({ kind: 'note', text });
  }

  #event(event: EventName, text: string, data?: Readonly<Record<string, unknown>>, step = this.lastStep): void {
    const at = new Date().toISOString();
    this.#sinks.write([{ kind: 'event', event, step, at, text, ...(data && { data }) }]);
  }

  /** The last records of a run that came to its end. */
  ending({ stopped, step, seconds, metrics, samplesPerSec, parametersSha256, nodeStatesLost }: TrainSummary): void {
    const steps = this.history.length;
    if (steps >= ENOUGH_TO_JUDGE && this.#clipped > steps / 2) {
      this.note(
        `${this.#clipped} of ${steps} gradients were clipped: then the clip sets the size of the steps; a larger limit or a lower learning rate is what it should be`,
      );
    }
    const lost = nodeStatesLost !== undefined && { nodeStatesLost };
    const data = { stopped, seconds, metrics, samplesPerSec, parametersSha256, ...lost };
    this.#event('end', `ended after step ${step}: ${stopped}`, data, step);
  }

  end(summary: TrainSummary): void {
    this.#options.onProgress?.({ kind: 'end', summary });
  }

  /** The last record of a run that threw. */
  failed(error: unknown): void {
    const code = error instanceof LockstepError ? error.code : undefined;
    const text = error instanceof Error ? error.message : String(error);
    if (code === 'E_NON_FINITE') this.#event('non-finite', text, undefined, this.lastRecord.step);
    this.#event('failed', text, { ...(code && { code }), seconds: this.elapsedSeconds() });
  }

  /** Closes the sinks; a second call does nothing. Gives what they have not kept, and never throws. */
  close(): Promise<readonly Error[]> {
    clearInterval(this.#timer);
    this.#closing ??= this.#sinks.close();
    return this.#closing;
  }

  /** Books every record that waits. Steps that are replayed after a loss were booked before. */
  drain(): void {
    const { callbacks } = this.#plan.job;
    const { onProgress } = this.#options;
    const wanted = this.#sinks.size > 0 || onProgress !== undefined || callbacks.onSteps !== undefined;
    const records: StepRecord[] = [];
    const skipped: number[] = [];
    this.#ring?.drain((values, offset) => {
      if (values[offset + AT.step] <= this.lastStep) return;
      const record = this.#read(values, offset);
      this.#lastRecord = record;
      if (values[offset + AT.action] === 2) return; // the numbers broke: this step was not committed
      this.lastStep = record.step;
      this.samples += record.samples;
      this.#epochSamples += record.samples;
      this.#epochSamplesHere += record.samples;
      this.trainedSteps += 1;
      const sound = Number.isFinite(record.loss) && Number.isFinite(record.gradNorm);
      if (values[offset + AT.action] === 1 && !sound) {
        this.skipped += 1;
        skipped.push(record.step);
      } else for (let i = 0; i < this.#epochSums.length; i++) this.#epochSums[i] += values[offset + RECORD_SUMS + i];
      if (values[offset + AT.action] === 0 && record.clipScale < 1) this.#clipped += 1;
      this.history.push(record);
      if (wanted) records.push(record);
    });
    const timeline = this.#timeline?.drain(this.lastStep) ?? [];
    if (timeline.length > 0) this.#sinks.timeline(timeline);
    if (records.length === 0) return;
    this.#sinks.write(records);
    this.#drainNoise(records[0].step - 1);
    for (const step of skipped) this.#event('skipped', `step ${step} left out: its numbers broke`, undefined, step);
    callbacks.onSteps?.(records);
    onProgress?.({ kind: 'steps', records, calendar: this.#plan.compiled.calendar });
  }

  #drainNoise(after: number): void {
    const session = this.#session;
    if (!session || session.noiseEvery === 0 || this.#sinks.size === 0) return;
    const samples = readNoise(session.memory.buffer, session.layout.noise, after, this.lastStep);
    this.#sinks.write(samples.map((sample) => ({ kind: 'gradient-noise', ...sample })));
  }

  #read(values: Float64Array, at: number): StepRecord {
    const { compiled } = this.#plan;
    const { loss, metrics } = finishSums(compiled.metrics, compiled.sums, (i) => values[at + RECORD_SUMS + i]);
    const step = values[at + AT.step];
    return {
      kind: 'step',
      step,
      epoch: this.epochOf(step),
      loss,
      metrics,
      lr: values[at + AT.lr],
      gradNorm: values[at + AT.gradNorm],
      clipScale: values[at + AT.clipScale],
      samples: values[at + AT.samples],
      timings: {
        stepMs: values[at + AT.stepMs],
        gatherMs: values[at + AT.gatherMs],
        computeMs: values[at + AT.computeMs],
        waitMs: values[at + AT.waitMs],
        reduceMs: values[at + AT.reduceMs],
        updateMs: values[at + AT.updateMs],
      },
    };
  }
}
