import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../src/cli/chaos.ts';
import { kindsOf } from '../../src/cli/chaos-disturb.ts';
import { chaosReport, renderChaos } from '../../src/cli/chaos-report.ts';

const counts = { kills: 1, pauses: 2, partitions: 3, damaged: 4, losses: 5 };
const outcome = (told: readonly (readonly [number, number])[], seconds: number, sha = 'a', step = 4): Outcome =>
  ({ result: { step, parametersSha256: sha }, told, seconds }) as unknown as Outcome;
const calm = outcome([[1, 0.5], [2, 0.4], [3, 0.3], [4, 0.2]], 3); // biome-ignore format: a list

describe('the report of chaos', () => {
  it('finds nothing in a run that is the same, but slower', () => {
    const report = chaosReport(calm, outcome(calm.told, 6), counts);
    expect(report).toMatchObject({ steps: 4, sameBytes: true, lost: 0, doubled: 0, different: 0, goodput: 0.5, ...counts });
    expect(renderChaos(report).join('\n')).toMatch(/1 kills.*goodput {7}50 %: 0.50 steps\/s, undisturbed 1.00.*0 lost, 0 doubled.*the same bytes: sha256 a/s);
  }); // biome-ignore format: rows

  it('counts steps that are lost, doubled, or have another loss', () => {
    const rough = outcome([[1, 0.5], [2, 0.4], [2, 0.4], [4, 0.25]], 6, 'b'); // biome-ignore format: a list
    const report = chaosReport(calm, rough, counts);
    expect(report).toMatchObject({ sameBytes: false, lost: 1, doubled: 1, different: 1 });
    expect(renderChaos(report).join('\n')).toMatch(/OTHER BYTES: sha256 b, undisturbed a/);
    expect(chaosReport(calm, outcome(calm.told.slice(0, 3), 3, 'a', 3), counts)).toMatchObject({ lost: 1, different: 1 });
  }); // biome-ignore format: rows
});

it('kills always, and the rest if asked for, once an interval', () => {
  expect(kindsOf({ killEvery: 1 })).toEqual(['kill']);
  expect(kindsOf({ killEvery: 1, pause: true, partition: true, corrupt: true })).toEqual(['kill', 'pause', 'partition', 'corrupt']); // biome-ignore format: a row
});
