import { describe, expect, test } from 'vitest';
import { SharedLink } from '../../cluster/shared-link.ts';

describe('what sums take on a link that members share', () => {
  test('of one that sends alone: its bytes by the time from the first to the last', () => {
    const link = new SharedLink();
    link.begin(1, 10);
    link.end(1, 50, 15);
    link.begin(1, 100);
    link.end(1, 30, 103);
    expect(link.msOf(1, 800)).toBeCloseTo((800 * 8) / 80, 12);
    expect(link.msOf(1, 800)).toBeUndefined(); // since then
  });

  test('of several at once: together the time in which anything came', () => {
    const link = new SharedLink();
    link.begin(1, 0);
    link.begin(2, 4);
    link.begin(3, 6);
    link.end(1, 100, 12); // 4 alone, 2 of two, 6 of three: 4 + 1 + 2
    link.end(3, 100, 14); // 2 + 1
    link.end(2, 100, 20); // 1 + 2 + 1 + 6
    const ms = [1, 2, 3].map((member) => link.msOf(member, 100) ?? 0);
    for (const [i, expected] of [7, 10, 3].entries()) expect(ms[i]).toBeCloseTo(expected, 12);
    expect(ms.reduce((sum, each) => sum + each)).toBeCloseTo(20, 12);
  });

  test('who is gone takes no share any more; the end of what did not begin here says nothing', () => {
    const link = new SharedLink();
    link.begin(1, 0);
    link.begin(2, 0);
    link.forget(2, 10);
    link.end(1, 10, 20);
    link.end(2, 10, 20);
    expect(link.msOf(1, 10)).toBeCloseTo(15, 12);
    expect(link.msOf(2, 10)).toBeUndefined();
  });
});
