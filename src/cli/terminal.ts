import { Calendar } from '../parallel/calendar.ts';
import type { StepRecord } from '../record/contract.ts';
import type { ProgressEvent } from '../train/options.ts';
import {
  paint,
  renderBar,
  renderEnd,
  renderEpoch,
  renderEvaluation,
  renderHeader,
  renderNote,
  renderOutput,
  type Span,
} from './render.ts';

/** What is needed of an output stream. */
export interface TerminalStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface TerminalOptions {
  /** Where to draw. Default: process.stderr, so that stdout stays free for results. */
  readonly stream?: TerminalStream;
  /** Draw a bar and redraw it. Default: when the stream is a terminal and TERM is not 'dumb'. */
  readonly interactive?: boolean;
  /** Default: on a terminal unless NO_COLOR is set. */
  readonly color?: boolean;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

/** At most ten frames a second. */
const FRAME_MS = 100;
/** Rate and synchronisation are averages over about this long. */
const SMOOTHING_MS = 1500;
const DEFAULT_COLUMNS = 80;

const CLEAR_LINE = '\r\x1b[2K';
/** A frame hides the cursor, draws and shows it again in one write: whatever ends the process, the cursor is there. */
const HIDE_CURSOR = '\x1b[?25l';
const SHOW_CURSOR = '\x1b[?25h';

/**
 * Draws the progress of a run: `train(job, { onProgress: terminal() })`. On a terminal a bar that is redrawn and one line that
 * stays for each epoch; elsewhere (a file, a pipe) one line an epoch and no control characters.
 */
export function terminal(options: TerminalOptions = {}): TerminalProgress {
  const display = new Display(options);
  return Object.assign((event: ProgressEvent) => display.handle(event), { close: () => display.close() });
}

/** An `onProgress` handler. */
export interface TerminalProgress {
  (event: ProgressEvent): void;
  /** Takes an unfinished bar away, for what is printed next when a run failed. Not needed after 'end'. */
  close(): void;
}

class Display {
  readonly #stream: TerminalStream;
  readonly #interactive: boolean;
  readonly #color: boolean;
  readonly #now: () => number;
  readonly #epoch = new Running();
  readonly #recent = new Rates();
  #calendar = new Calendar({ stepsPerEpoch: 1, totalSteps: 0 });
  #last: StepRecord | undefined;
  #lastFrame = Number.NEGATIVE_INFINITY;
  #barShown = false;
  /** An evaluation at the end of an epoch waits for the epoch's own line. */
  #held: Extract<ProgressEvent, { kind: 'evaluation' }>['record'] | undefined;
  #startedMs = 0;
  /** A resumed run does not begin with step 1. */
  #stepsBefore: number | undefined;

  constructor(options: TerminalOptions) {
    const stream = options.stream ?? process.stderr;
    const tty = stream.isTTY === true && process.env.TERM !== 'dumb';
    this.#stream = stream;
    this.#interactive = options.interactive ?? tty;
    this.#color = options.color ?? (tty && !process.env.NO_COLOR);
    this.#now = options.now ?? (() => performance.now());
  }

  handle(event: ProgressEvent): void {
    switch (event.kind) {
      case 'start':
        this.#calendar = event.calendar;
        this.#startedMs = this.#now();
        this.#lines(renderHeader(event.header, event.calendar, event.notes));
        break;
      case 'steps':
        this.#calendar = event.calendar;
        this.#steps(event.records);
        break;
      case 'evaluation':
        if (event.record.split === 'val' && this.#endsEpoch(event.record.step)) this.#held = event.record;
        else this.#lines([renderEvaluation(event.record)]);
        break;
      case 'epoch':
        this.#endEpoch(event);
        break;
      case 'checkpoint':
        break; // that a run is saved is what users expect; only failures are worth a line
      case 'note':
        this.#lines([renderNote(event.text)]);
        break;
      case 'output':
        this.#lines([renderOutput(event.from, event.line)]);
        break;
      case 'end':
        this.#release();
        this.#lines([renderEnd(event.summary)]);
        break;
      default:
        event satisfies never;
    }
  }

  close(): void {
    this.#release();
    if (this.#barShown) this.#lines([]);
  }

  #steps(records: readonly StepRecord[]): void {
    for (const record of records) {
      this.#stepsBefore ??= record.step - 1;
      this.#epoch.add(record);
      this.#recent.add(record);
      this.#last = record;
    }
    const now = this.#now();
    if (!this.#interactive || now - this.#lastFrame < FRAME_MS) return;
    this.#lastFrame = now;
    this.#drawBar();
  }

  #endEpoch(event: Extract<ProgressEvent, { kind: 'epoch' }>): void {
    const held = this.#held?.step === event.step ? this.#held : undefined;
    if (held) this.#held = undefined;
    else this.#release();
    const line = renderEpoch({
      ...event,
      epochs: this.#calendar.epochs,
      evaluation: held?.metrics ?? {},
      syncShare: this.#epoch.syncShare,
    });
    this.#epoch.clear();
    this.#last = undefined;
    this.#lines([line]);
  }

  /** An evaluation whose epoch line never came. */
  #release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held) this.#lines([renderEvaluation(held)]);
  }

  #endsEpoch(step: number): boolean {
    return this.#calendar.endsEpoch(step) || step === this.#calendar.totalSteps;
  }

  #drawBar(): void {
    const last = this.#last;
    if (!last) return;
    const { totalSteps, epochs } = this.#calendar;
    const before = this.#calendar.lastOf(last.epoch - 1);
    const msPerStep = (this.#now() - this.#startedMs) / (last.step - (this.#stepsBefore ?? 0));
    const columns = this.#columns();
    const line = renderBar(
      {
        epoch: last.epoch,
        epochs,
        done: last.step - before,
        total: this.#calendar.lastOf(last.epoch) - before,
        loss: this.#epoch.loss,
        metrics: this.#epoch.metrics,
        lr: last.lr,
        gradNorm: last.gradNorm,
        samplesPerSec: this.#recent.samplesPerSec,
        syncShare: this.#recent.syncShare,
        etaSeconds: ((totalSteps - last.step) * msPerStep) / 1000,
      },
      columns,
    );
    const text = paint(line, { columns, color: this.#color });
    this.#stream.write(`${HIDE_CURSOR}${CLEAR_LINE}${text}${SHOW_CURSOR}`);
    this.#barShown = true;
  }

  /** Lines that stay, above the bar; the bar comes back with the next frame. */
  #lines(lines: readonly (readonly Span[])[]): void {
    const clear = this.#barShown ? CLEAR_LINE : '';
    this.#barShown = false;
    const columns = Number.POSITIVE_INFINITY;
    const text = lines.map((line) => `${paint(line, { columns, color: this.#color })}\n`).join('');
    this.#stream.write(`${clear}${text}`);
  }

  /** One less than there are: a full line makes some terminals wrap. */
  #columns(): number {
    return Math.max(1, (this.#stream.columns || DEFAULT_COLUMNS) - 1);
  }
}

/** Means of an epoch so far, weighted by samples. */
class Running {
  #samples = 0;
  #loss = 0;
  #metrics = new Map<string, number>();
  #waitMs = 0;
  #stepMs = 0;

  add({ samples, loss, metrics, timings }: StepRecord): void {
    this.#samples += samples;
    this.#loss += samples * loss;
    for (const name of Object.keys(metrics)) {
      this.#metrics.set(name, (this.#metrics.get(name) ?? 0) + samples * metrics[name]);
    }
    this.#waitMs += timings.waitMs;
    this.#stepMs += timings.stepMs;
  }

  get loss(): number {
    return this.#loss / this.#samples;
  }

  get metrics(): Record<string, number> {
    return Object.fromEntries([...this.#metrics].map(([name, sum]) => [name, sum / this.#samples]));
  }

  get syncShare(): number {
    return this.#waitMs / this.#stepMs;
  }

  clear(): void {
    this.#samples = 0;
    this.#loss = 0;
    this.#metrics.clear();
    this.#waitMs = 0;
    this.#stepMs = 0;
  }
}

/** Rates over the last moments: old steps count less and less. */
class Rates {
  #samples = 0;
  #waitMs = 0;
  #stepMs = 0;

  add({ samples, timings }: StepRecord): void {
    const keep = Math.exp(-timings.stepMs / SMOOTHING_MS);
    this.#samples = this.#samples * keep + samples;
    this.#waitMs = this.#waitMs * keep + timings.waitMs;
    this.#stepMs = this.#stepMs * keep + timings.stepMs;
  }

  get samplesPerSec(): number {
    return (1000 * this.#samples) / this.#stepMs;
  }

  get syncShare(): number {
    return this.#waitMs / this.#stepMs;
  }
}
