import { type Block, denseBytes } from '../src/graph/layout.ts';
import type { Session } from '../src/parallel/session.ts';
import { CODECS, encodedBytes } from '../src/parallel/wire-format.ts';

/** What a node took for its shards of one round, in milliseconds. */
export interface LinkSample {
  /** From the request to the answer. */
  readonly roundMs: number;
  readonly computeMs: number;
}

/** Rounds that are looked at, after as many that may compile and warm up. */
const MEASURED = 8;

/** Looks at rounds until it can say what `--wire auto` is to say. */
export class LinkAdvice {
  readonly #session: Session;
  readonly #every: number;
  readonly #samples: LinkSample[] = [];

  constructor(session: Session, every: number) {
    this.#session = session;
    this.#every = every;
  }

  /** After a round, by whoever took longest; undefined before enough is known, and after it was said. */
  after(members: Iterable<LinkSample>): string | undefined {
    const slowest = [...members].sort((a, b) => b.roundMs - a.roundMs)[0];
    if (!slowest || this.#samples.length === 2 * MEASURED) return undefined;
    const { roundMs, computeMs } = slowest;
    if (this.#samples.push({ roundMs, computeMs }) < 2 * MEASURED) return undefined;
    const bytes = 2 * denseBytes(this.#session);
    return wireAdvice(this.#samples.slice(MEASURED), bytes, this.#session.blocks, this.#every);
  }
}

/** Below this part of a step the network is not worth a thought. */
const LITTLE = 0.1;
/** Local steps that were seen to cost little of the loss: docs/wire.md. */
const FEW = 8;

/**
 * What `--wire auto` chooses, and why. Always fp32: the others round, and a result that is no longer the same bytes is for a person to
 * choose. So where the network takes a large part of a step, it says what they would gain. Pure.
 *
 * @param samples of the node that takes longest.
 * @param bytes that it is sent and sends in a round as fp32.
 * @param every steps that nodes make by themselves in a round.
 */
export function wireAdvice(
  samples: readonly LinkSample[],
  bytes: number,
  blocks: readonly Block[],
  every: number,
): string {
  const unit = every === 1 ? 'a step' : `a round of ${every} steps`;
  const round = median(samples.map(({ roundMs }) => roundMs));
  const network = median(samples.map(({ roundMs, computeMs }) => Math.max(0, roundMs - computeMs)));
  const measured = `the network takes ${ms(network)} of ${ms(round)} ${unit} (${rate(bytes, network)})`;
  if (network < LITTLE * round) return `wire format fp32: ${measured}, so rounding would gain next to nothing`;
  const floats = blocks.reduce((sum, { length }) => sum + length, 0);
  const others = Object.values(CODECS).map((codec) => {
    const share = encodedBytes(blocks, codec) / (4 * floats);
    return `${codec.format} ${share.toFixed(2)} of the bytes, about ${ms(round - network * (1 - share))} ${unit}`;
  });
  // With local steps the result depends on the nodes anyway.
  const [why, but, besides] =
    every === 1
      ? [
          ', the only one that keeps the same bytes',
          'if that matters less than time, ',
          `. --sync-every ${FEW} would divide what the network takes by ${FEW}, with any of them`,
        ]
      : [', which rounds nothing', '', ''];
  return `wire format fp32${why}: ${measured}; ${but}--wire would give: ${others.join('; ')}${besides}`;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

const ms = (time: number) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
const rate = (bytes: number, time: number) => `${((1000 * bytes) / Math.max(time, 0.01) / 1e6).toFixed(0)} MB/s`;
