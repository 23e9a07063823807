import { expect, test } from 'vitest';
import { planArena } from '../../src/parallel/arena.ts';
import { ownedBlocks } from '../../src/parallel/pieces.ts';
import { partialSlots, planStep, reductionTemporaries } from '../../src/parallel/step-plan.ts';

function layoutFor(workers: number, shards: number, slots: number) {
  return planArena({
    heapBase: 1000, workers, shards, flatSize: 160, blocks: 3, slots: [160, 160], partialSlots: slots, blockFloats: 64,
    temporaries: reductionTemporaries(shards), sums: 3, evaluationShards: 4, batchBytes: 100, activationBytes: 1000, endBytes: 0,
    rows: 32, group: 2, constantBytes: [8, 0], recordWidth: 15, scalars: 8, progress: 4, dataBytes: 5000,
  }); // biome-ignore format: a table
}

test('regions are aligned, apart, and inside the arena', () => {
  const layout = layoutFor(3, 8, 3);
  const starts = [
    layout.barrier, layout.control, layout.shardSums, layout.evaluationSums, layout.norms, layout.epochs, layout.progress, layout.ring,
    layout.parameters, ...layout.slots, layout.reduced, ...layout.constants,
    ...layout.workers.flatMap((w) => [
      ...w.partials, w.activations, w.batch, w.sums, w.key, w.ids, w.scratch, ...w.temporaries, w.scalars,
    ]),
    layout.data,
  ]; // biome-ignore format: a table
  for (const at of starts) expect(at % 64).toBe(0);
  expect(Math.min(...starts)).toBeGreaterThanOrEqual(1000);
  expect(layout.bytes).toBeGreaterThanOrEqual(layout.data + 5000);
  // The empty constants region shares its address with what follows; all others are distinct.
  expect(new Set(starts).size).toBe(starts.length - 1);
  expect(layout.regions.reduce((sum, r) => sum + r.bytes, 0)).toBe(layout.bytes - 1024);
});

test('all ranks agree on sources and gradient, and together compute every shard once', () => {
  for (const workers of [1, 2, 3, 5]) {
    for (const batch of [3, 8, 100]) {
      const slots = partialSlots(8, workers, 640, 1 << 20);
      const session = {
        shards: 8,
        workers,
        partialSlots: slots,
        accumulate: batch === 8,
        groupRows: { 100: 30 },
        layout: layoutFor(workers, 8, slots),
      };
      const plans = Array.from({ length: workers }, (_, rank) => planStep(session, rank, batch));
      for (const plan of plans) {
        expect(plan.sources).toEqual(plans[0].sources);
        expect(plan.gradient).toBe(plans[0].gradient);
      }
      const computed = plans.flatMap((p) => p.instructions.flatMap((i) => (i.kind === 'compute' ? [i] : [])));
      expect(computed.reduce((sum, i) => sum + i.rows, 0)).toBe(batch);
      expect(new Set(computed.flatMap((i) => i.shards.map((s) => s.shard))).size).toBe(Math.min(8, batch));
    }
  }
});

test('blocks are owned once, about evenly', () => {
  const blocks = [100, 16384, 16384, 16384, 10, 16384].map((length, i) => ({ tensor: i, offset: i * 16384, length }));
  for (const workers of [1, 2, 3, 4]) {
    const owned = Array.from({ length: workers }, (_, rank) => ownedBlocks({ blocks, workers }, rank));
    expect(owned.flat().map((b) => b.index)).toEqual([0, 1, 2, 3, 4, 5]);
    const loads = owned.map((own) => own.reduce((sum, b) => sum + b.length, 0));
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThanOrEqual(2 * 16384);
  }
});
