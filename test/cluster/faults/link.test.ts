import { expect, it } from 'vitest';
import { Link } from '../../../cluster/faults/link.ts';

it('a link without limits carries everything at once', () => {
  const link = new Link();
  expect([link.arrival(5, 1e9), link.arrival(5, 1)]).toEqual([5, 5]);
});

it('a link of 100 Mbit/s and 20 ms delivers in 20 ms and the time of all bytes before', () => {
  const link = new Link({ delayMs: 20, bytesPerSecond: 12.5e6 });
  expect(link.arrival(0, 12_500)).toBe(21);
  expect(link.arrival(0, 12_500)).toBe(22); // behind the first
  expect(link.arrival(100, 125_000)).toBe(130); // idle time is not saved up
  let last = 0;
  for (let i = 0; i < 1000; i++) last = link.arrival(200 + i / 10, 12_500);
  expect(last).toBeCloseTo(200 + 1000 + 20, 6);
  expect(link.window).toBe(500_000);
});
