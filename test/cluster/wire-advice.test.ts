import { expect, test } from 'vitest';
import { wireAdvice } from '../../cluster/wire-advice.ts';

const blocks = Array.from({ length: 10 }, (_, i) => ({ tensor: 0, offset: 16384 * i, length: 16384 }));
const bytes = 2 * 4 * 163_840;

test('a slow link: fp32 all the same, and what the others would gain', () => {
  const samples = [90, 120, 130].map((roundMs) => ({ roundMs, computeMs: 20 }));
  expect(wireAdvice(samples, bytes, blocks, 1)).toBe(
    'wire format fp32, the only one that keeps the same bytes: the network takes 100 ms of 120 ms a step (13 MB/s); if that matters less than time, --wire would give: bf16 0.50 of the bytes, about 70 ms a step; int8 0.25 of the bytes, about 45 ms a step; int4 0.13 of the bytes, about 33 ms a step; topk 0.02 of the bytes, about 22 ms a step. --sync-every 8 would divide what the network takes by 8, with any of them',
  );
});

test('a fast link: no reason to round', () => {
  expect(wireAdvice([{ roundMs: 100, computeMs: 95 }], bytes, blocks, 1)).toBe(
    'wire format fp32: the network takes 5.0 ms of 100 ms a step (262 MB/s), so rounding would gain next to nothing',
  );
});

test('with local steps: of a round, and without a word of the same bytes', () => {
  const slow = wireAdvice([{ roundMs: 600, computeMs: 400 }], bytes, blocks, 20);
  expect(slow).toMatch('wire format fp32, which rounds nothing: the network takes 200 ms of 600 ms a round of 20 steps (7 MB/s); --wire would give: bf16');
  expect(slow).toMatch('int8 0.25 of the bytes, about 451 ms a round of 20 steps');
  expect(slow).not.toMatch(/same bytes|--sync-every/);
}); // biome-ignore format: sentences
