import type { Block } from '../src/graph/layout.ts';
import { CODECS, encodedBytes } from '../src/parallel/wire-format.ts';

/** What a node took for its shards of one step, in milliseconds. */
export interface LinkSample {
  /** From the request to the answer. */
  readonly roundMs: number;
  readonly computeMs: number;
}

/** Steps that are looked at, after as many that may compile and warm up. */
export const MEASURED_STEPS = 8;

/** Below this part of a step the network is not worth a thought. */
const LITTLE = 0.1;

/**
 * What `--wire auto` chooses, and why. Always fp32: the others round, and a result that is no longer the same bytes is for a person to
 * choose. So where the network takes a large part of a step, it says what they would gain. Pure.
 *
 * @param samples of the node that takes longest.
 * @param bytes that it is sent and sends in a step as fp32.
 */
export function wireAdvice(samples: readonly LinkSample[], bytes: number, blocks: readonly Block[]): string {
  const round = median(samples.map(({ roundMs }) => roundMs));
  const network = median(samples.map(({ roundMs, computeMs }) => Math.max(0, roundMs - computeMs)));
  const measured = `the network takes ${ms(network)} of ${ms(round)} a step (${rate(bytes, network)})`;
  if (network < LITTLE * round) return `wire format fp32: ${measured}, so rounding would gain next to nothing`;
  const floats = blocks.reduce((sum, { length }) => sum + length, 0);
  const others = Object.values(CODECS).map((codec) => {
    const share = encodedBytes(blocks, codec) / (4 * floats);
    return `${codec.format} ${share.toFixed(2)} of the bytes, about ${ms(round - network * (1 - share))} a step`;
  });
  return `wire format fp32, the only one that keeps the same bytes: ${measured}; if that matters less than time, --wire would give: ${others.join('; ')}`;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

const ms = (time: number) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
const rate = (bytes: number, time: number) => `${((1000 * bytes) / Math.max(time, 0.01) / 1e6).toFixed(0)} MB/s`;
