import type { Calendar } from '../parallel/calendar.ts';
import type { RunHeader } from '../record/contract.ts';
import type { TrainSummary } from '../train/callbacks.ts';
import { formatClock, formatCount, formatDuration, formatNumber, formatRate, formatShare, plural } from './format.ts';

/** What a progress display shows as text. Pure: state in, lines out; `terminal.ts` decides when and where. */

export type Style = 'plain' | 'bold' | 'dim' | 'yellow';

/** A stretch of text in one style, so that lines can be cut by what is seen and coloured afterwards. */
export interface Span {
  readonly text: string;
  readonly style: Style;
}

const ESCAPES: Record<Exclude<Style, 'plain'>, string> = { bold: '\x1b[1m', dim: '\x1b[2m', yellow: '\x1b[33m' };

/** A line at most `columns` characters wide, with or without colour. */
export function paint(line: readonly Span[], options: { columns: number; color: boolean }): string {
  let room = options.columns;
  let text = '';
  for (const span of line) {
    if (room <= 0) break;
    const characters = [...span.text.replace(CONTROL, ' ')];
    const seen = characters.slice(0, room).join('');
    room -= characters.length;
    text += options.color && span.style !== 'plain' ? `${ESCAPES[span.style]}${seen}\x1b[0m` : seen;
  }
  return text;
}

/** Names come from users: none may move the cursor. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what it is for
const CONTROL = /[\x00-\x1f\x7f]/g;

/** What is running, before the first step. */
export function renderHeader(header: RunHeader, calendar: Calendar, notes: readonly string[]): Span[][] {
  const { versions, kernels, machine } = header;
  const gemm = kernels.detail ? `${kernels.gemm} (${withoutBuildFlags(kernels.detail)})` : kernels.gemm;
  return [
    [
      { text: `lockstep ${versions.lockstep ?? ''}`.trim(), style: 'bold' },
      { text: ` on node ${versions.node ?? process.versions.node}, ${machine.cpu}, `, style: 'dim' },
      { text: plural(machine.cores, 'core'), style: 'dim' },
    ],
    [
      { text: `${plural(header.workers, 'worker')}, ${plural(header.shards, 'shard')}`, style: 'bold' },
      { text: `, gemm ${gemm}, simd ${kernels.simd}, seed ${header.seed}`, style: 'plain' },
    ],
    [
      {
        text: `${plural(header.parameters, 'parameter')}, ${stepsOf(calendar)}`,
        style: 'plain',
      },
    ],
    ...notes.map(renderNote),
  ];
}

function stepsOf(calendar: Calendar): string {
  const steps = plural(calendar.totalSteps, 'step');
  return calendar.even
    ? `${steps} of which ${formatCount(calendar.lastOf(1))} an epoch`
    : `${steps} in ${plural(calendar.epochs, 'epoch')}`;
}

/** OpenBLAS tells its version with all flags that it was built with; the run folder keeps them, a person reads past them. */
function withoutBuildFlags(detail: string): string {
  const words = detail.split(' ').filter((word) => !/^(NO_|USE_|MAX_THREADS=|DYNAMIC_ARCH)/.test(word));
  return words.filter((word, i) => word !== words[i - 1]).join(' ');
}

export function renderNote(text: string): Span[] {
  return [
    { text: 'note: ', style: 'yellow' },
    { text, style: 'plain' },
  ];
}

/** What the process of a node has printed, with its name in front. */
export function renderOutput(from: string, line: string): Span[] {
  return [
    { text: `[${from}] `, style: 'dim' },
    { text: line, style: 'plain' },
  ];
}

/** The step's figures as they run. */
export interface BarState {
  readonly epoch: number;
  readonly epochs: number;
  /** Steps of this epoch. */
  readonly done: number;
  readonly total: number;
  /** Means over this epoch so far. */
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly lr: number;
  readonly gradNorm: number;
  readonly samplesPerSec: number;
  /** Share of a step that rank 0 waited for others, 0 to 1. */
  readonly syncShare: number;
  /** To the end of the run. */
  readonly etaSeconds: number;
}

const WIDEST_BAR = 30;
const NARROWEST_BAR = 6;

/** `epoch 1/5 123/211 [=======>------] loss 0.2345 ...`: the bar takes what the figures leave, and goes first when it is tight. */
export function renderBar(state: BarState, columns: number): Span[] {
  const width = String(state.total).length;
  const left = `epoch ${state.epoch}/${state.epochs} ${String(state.done).padStart(width)}/${state.total} `;
  const figures = [
    `loss ${formatNumber(state.loss)}`,
    ...Object.entries(state.metrics).map(([name, value]) => `${name} ${formatNumber(value)}`),
  ].join('  ');
  const rest = [
    `lr ${Number(state.lr.toPrecision(4))}`,
    `grad ${formatNumber(state.gradNorm)}`,
    `${formatRate(state.samplesPerSec)} samples/s`,
    `sync ${formatShare(state.syncShare)}`,
    `ETA ${formatClock(state.etaSeconds)}`,
  ].join('  ');
  const room = Math.min(WIDEST_BAR, columns - left.length - figures.length - rest.length - 5);
  const bar = room < NARROWEST_BAR ? '' : `[${barOf(state.done / Math.max(1, state.total), room)}] `;
  return [
    { text: left, style: 'plain' },
    { text: bar, style: 'dim' },
    { text: figures, style: 'bold' },
    { text: `  ${rest}`, style: 'dim' },
  ];
}

function barOf(share: number, width: number): string {
  const full = Math.min(width, Math.floor(share * width));
  return '='.repeat(full) + (full < width ? `>${'-'.repeat(width - full - 1)}` : '');
}

export interface EpochState {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly loss: number;
  readonly metrics: Readonly<Record<string, number>>;
  /** Metrics of an evaluation at the end of this epoch, prefixed with 'val.'. */
  readonly evaluation: Readonly<Record<string, number>>;
  readonly samplesPerSec: number;
  readonly syncShare: number;
  readonly seconds: number;
}

/** The line that stays of an epoch. */
export function renderEpoch(state: EpochState): Span[] {
  return [
    { text: `epoch ${state.epoch}/${state.epochs}  step ${formatCount(state.step)}`, style: 'plain' },
    { text: `  loss ${formatNumber(state.loss)}${named(state.metrics)}${named(state.evaluation)}`, style: 'bold' },
    {
      text: `  ${formatRate(state.samplesPerSec)} samples/s  sync ${formatShare(state.syncShare)}  ${formatDuration(state.seconds)}`,
      style: 'dim',
    },
  ];
}

/** An evaluation that is not the end of an epoch: between steps, or of the test rows. */
export function renderEvaluation(record: {
  readonly step: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly seconds: number;
}): Span[] {
  return [
    { text: `evaluation  step ${formatCount(record.step)}`, style: 'plain' },
    { text: named(record.metrics), style: 'bold' },
    { text: `  ${formatDuration(record.seconds)}`, style: 'dim' },
  ];
}

const STOPPED = {
  epochs: 'done',
  steps: 'done',
  'early-stopping': 'stopped early',
  callback: 'stopped by a callback',
  aborted: 'interrupted',
} as const satisfies Record<TrainSummary['stopped'], string>;

/** The last line: why the run ended, and what it did. */
export function renderEnd(summary: TrainSummary): Span[] {
  const { stopped, step, trainedSteps, seconds, samplesPerSec, parametersSha256 } = summary;
  const parameters = `, parameters sha256 ${parametersSha256.slice(0, 16)}`;
  const count = (n: number) => `${formatCount(n)} ${n === 1 ? 'step' : 'steps'}`;
  if (trainedSteps === 0 && stopped !== 'aborted') {
    const why = stopped === 'early-stopping' ? 'early' : stopped === 'callback' ? 'by a callback' : 'when it was done';
    return [
      { text: `nothing left to train: the run had ended ${why}, after ${count(step)}`, style: 'plain' },
      { text: parameters, style: 'dim' },
    ];
  }
  const resumed = trainedSteps < step ? `, now at step ${formatCount(step)}` : '';
  return [
    {
      text: `${STOPPED[stopped]}: trained ${count(trainedSteps)} in ${formatDuration(seconds)}${resumed}`,
      style: 'plain',
    },
    {
      text: `${trainedSteps === 0 ? '' : `, ${formatRate(samplesPerSec)} samples/s`}${parameters}`,
      style: 'dim',
    },
  ];
}

function named(metrics: Readonly<Record<string, number>>): string {
  return Object.entries(metrics)
    .map(([name, value]) => `  ${name} ${formatNumber(value)}`)
    .join('');
}
