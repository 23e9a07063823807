import { shardRange } from '../data/sampler.ts';
import { planStep } from '../parallel/step-plan.ts';
import type { WireFormat } from '../parallel/wire-format.ts';
import type { RunPlan } from '../train/plan-run.ts';
import { type EarlyUploads, finalParts } from './early-uploads.ts';
import { wireBytes } from './protocol.ts';

/** What a step of a point consists of, whoever computes it. */
export interface JobFacts {
  readonly batch: number;
  readonly shards: number;
  /** Elements of a flat gradient, and of all optimizer slots. */
  readonly elements: number;
  readonly slotElements: number;
  /** Of a partial sum, in each wire format. */
  readonly wireBytes: Readonly<Record<WireFormat, number>>;
  /** Of all matrix products. */
  readonly flops: number;
  /** Partial sums that the reduction reads. */
  readonly partialSums: number;
  /** Shares are of the backward pass. */
  readonly early: EarlyUploads;
}

export function factsOf(plan: RunPlan): JobFacts {
  const { compiled, workers, partialSlots, accumulate, groupRows, layout, needs } = plan;
  const { shards, batchSize: batch } = compiled;
  const input = { shards, workers, partialSlots, accumulate, groupRows, layout };
  let flops = 0;
  for (let shard = 0; shard < shards; shard++) {
    const [begin, end] = shardRange(batch, shards, shard);
    flops += compiled.trainPrograms.find(({ rows }) => rows === end - begin)?.flops ?? 0;
  }
  return {
    batch,
    shards,
    elements: compiled.gradientSize,
    slotElements: needs.slots.reduce((sum, { floats }) => sum + floats, 0),
    wireBytes: wireBytes(compiled.blocks, compiled.gradientSize),
    flops,
    partialSums: planStep(input, 0, batch).sources.length,
    early: {
      finals: finalParts(compiled.trainPrograms[0].calls, compiled.tensors),
      lastTogether: Array.from({ length: shards + 1 }, (_, count) => {
        const end = planStep({ ...input, workers: 1 }, 0, batch, { first: 0, count }).instructions.at(-1);
        return end?.kind === 'compute' ? end.shards.length : 0;
      }),
    },
  };
}
