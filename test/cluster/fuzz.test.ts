import { expect, test } from 'vitest';
import { fuzzWire } from '../../scripts/fuzz/wire.ts';

// The short version of `npm run fuzz:wire`.
test('mutated frames at both ends of real connections: nothing crashes or grows, and the run ends in the bytes of an undisturbed one', async () => {
  const { atCoordinator, atNode, visits, memory, steps, sameBytes } = await fuzzWire(600, 20_261_129);
  expect(Math.min(atCoordinator, atNode)).toBeGreaterThanOrEqual(300);
  expect(visits).toBeGreaterThan(1);
  expect(steps).toBeGreaterThan(1);
  expect(sameBytes).toBe(true);
  expect(memory[1] - memory[0]).toBeLessThan(16 << 20);
}, 240_000);
