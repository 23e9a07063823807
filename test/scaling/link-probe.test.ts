import { expect, test } from 'vitest';
import { errorLines } from '../../src/scaling/describe.ts';
import { probedBytes } from '../../src/scaling/link-probe.ts';
import type { JobScaling } from '../../src/scaling/report.ts';
import { parseLink } from '../../src/scaling/what-if.ts';

test.each([
  ['1gbit/0.5ms', 2_100_000, 2_100_000], // the vector of the job
  ['1gbit/0.5ms', 44, 1_250_000], // 10 ms of the link
  ['100gbit', 44, 16 * 1024 * 1024],
  ['100mbit/20ms', 400_000_000, 12_500_000], // a second of the link
  ['1kbit', 2_100_000, 128],
] as const)('over %s a job of %d bytes is probed by %d', (link, bytes, probed) =>
  expect(probedBytes(bytes, parseLink(link))).toBe(probed),
);

test('how fast a link was found to be is said in plain numbers', () => {
  const error = { workers: 1, nodes: 2, measured: 100, predicted: 90, error: -0.1 };
  const link = { ...parseLink('10gbit'), latencyMs: 0.2 };
  const [found] = errorLines({ errors: [error], link } as unknown as JobScaling);
  expect(found).toContain('10gbit is in truth 10000 mbit/s and ');
});
