import { expect, test } from 'vitest';
import { type Part, Round } from '../../cluster/round.ts';
import { shardRange } from '../../src/data/sampler.ts';
import type { Session } from '../../src/parallel/session.ts';

const SHARDS = 8;
const BYTES = 64;
const tensors = [{ offset: 0, size: BYTES / 4 }];
const layout = { uploads: Array.from({ length: SHARDS }, (_, first) => BYTES * first) };
const session = { shards: SHARDS, memory: { buffer: new ArrayBuffer(BYTES * SHARDS) }, layout, tensors } as unknown as Session; // biome-ignore format: one line

const partOf = (first: number, end: number): Part => ({
  first,
  count: end - first,
  epoch: 1,
  sentAt: 0,
  received: new Map(),
});

test('bytes that are written before their header is known to be right can hurt no sum of another part', () => {
  let early = 0;
  for (let rows = 1; rows <= 2 * SHARDS; rows++) {
    const round = new Round(session, { round: 1, step: 1, pass: 0, update: false }, [rows], BYTES);
    const hasRows = (shard: number) => shardRange(rows, SHARDS, shard)[0] < shardRange(rows, SHARDS, shard)[1];
    /** Headers that are taken for one of the part, whatever was meant. */
    const headersOf = (part: Part) =>
      Array.from({ length: SHARDS ** 2 }, (_, i) => ({
        round: 1,
        epoch: 1,
        first: Math.floor(i / SHARDS),
        count: 1 + (i % SHARDS),
      })).filter((header) => round.partOf([part], header));
    for (let middle = 1; middle < SHARDS; middle++) {
      for (const [part, other] of [
        [partOf(0, middle), partOf(middle, SHARDS)],
        [partOf(middle, SHARDS), partOf(0, middle)],
      ]) {
        const sums = headersOf(other).filter(({ first, count }) => {
          return Array.from({ length: count }, (_, i) => first + i).some(hasRows);
        });
        const theirs = new Set(sums.map(({ first }) => BYTES * first));
        for (const { first } of headersOf(part)) {
          const place = round.earlyPlaceOf(part, { first, offset: BYTES - 16 }, 16);
          if (!place) continue;
          early += 1;
          expect(place.byteOffset).toBe(BYTES * first + BYTES - 16);
          expect(theirs).not.toContain(BYTES * first);
        }
      }
    }
  }
  expect(early).toBeGreaterThan(0);
});
