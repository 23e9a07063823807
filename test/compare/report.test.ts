import { describe, expect, it } from 'vitest';
import type { Trial } from '../../src/compare/contract.ts';
import { absences, MEASURE_COLUMNS, measureRow, measuresNote } from '../../src/compare/describe.ts';
import { jobProfiles, reportSchema } from '../../src/compare/report.ts';
import { toLine } from '../../src/record/jsonl.ts';
import { fakeJobReport, fakeReport } from './fake-report.ts';

const GOOD = { best: 0.001, top: 0.95 };
const WORSE = { best: 0.001, top: 0.8 };

describe('a report', () => {
  it('recommends the best and says that it beats the others', async () => {
    const { recommendation, finals, optimizers } = await fakeJobReport({ sgd: WORSE, adam: GOOD });
    expect(recommendation).toMatchObject({ verdict: 'clear', optimizer: 'adam' });
    expect(recommendation.lr).toBeCloseTo(0.001, 3);
    expect(finals.comparisons).toHaveLength(1);
    // Eight pairs that all say the same: the smallest p there is.
    expect(finals.comparisons[0]).toMatchObject({ a: 'adam', b: 'sgd', pairs: 8, p: 2 ** -7, adjusted: 2 ** -7 });
    expect(finals.comparisons[0].effect).toBeGreaterThan(0.1);
    expect(finals.comparisons[0].interval[0]).toBeGreaterThan(0.1);
    expect(optimizers[0].measures.gap).toBeCloseTo(0.02, 9);
    expect(optimizers[0].measures.value).toBeGreaterThan(optimizers[1].measures.value);
  });

  it('says that two cannot be told apart, and what would be seen', async () => {
    const { recommendation } = await fakeJobReport({ adam: GOOD, nadam: { best: 0.001, top: 0.951 } });
    expect(recommendation.verdict).toBe('leads');
    expect(recommendation.reasons.join(' ')).toMatch(/No significant difference from (adam|nadam)/);
    expect(recommendation.reasons.join(' ')).toMatch(/8 seeds can show differences from about 0\.0\d+ on/);
  });

  it('says that too few seeds can show nothing', async () => {
    const { recommendation } = await fakeJobReport({ sgd: WORSE, adam: GOOD }, { finalSeeds: 4 });
    expect(recommendation.verdict).toBe('leads');
    expect(recommendation.reasons.join(' ')).toContain('4 seeds cannot show any difference');
    expect(recommendation.reasons.join(' ')).toContain('use more seeds (--seeds)');
  });

  it.each([3, 4, 8])(
    'without a target of the user takes one that every finalist reaches, %i seeds',
    async (finalSeeds) => {
      const { optimizers, objective } = await fakeJobReport({ sgd: WORSE, adam: GOOD }, { finalSeeds });
      expect(objective.target).toBeDefined();
      for (const { measures } of optimizers) {
        expect(measures.missed).toBeLessThan(finalSeeds / 2);
        expect(measures.toTarget.steps).toBeLessThan(Number.POSITIVE_INFINITY);
      }
    },
  );

  it('without a final has no target that anybody missed', async () => {
    const humps = { sgd: WORSE, adam: GOOD };
    const job = await fakeJobReport(humps, { finalSeeds: 0 });
    expect(job.objective.target).toBeUndefined();
    const rows = job.optimizers.map((one) => measureRow(one, job));
    const at = MEASURE_COLUMNS.indexOf('steps to target');
    expect(rows.map((row) => row.slice(at, at + 3))).toEqual([
      ['-', '-', '-'],
      ['-', '-', '-'],
    ]);
    expect(measuresNote(job)).toContain('Target: none, for no final was run');
  });

  it('names those who took no part once for each reason', async () => {
    const job = await fakeJobReport({ adam: GOOD });
    const left = ['a', 'b', 'c'].map((optimizer) => ({ optimizer, reason: optimizer === 'b' ? 'other' : 'no room' }));
    expect(absences({ ...job, left })).toEqual([
      { optimizers: ['a', 'c'], reason: 'no room' },
      { optimizers: ['b'], reason: 'other' },
    ]);
  });

  it('recommends nothing where nobody reached the target', async () => {
    const objective = { metric: 'val.accuracy', mode: 'max', target: 0.99 } as const;
    const { recommendation, optimizers } = await fakeJobReport({ sgd: WORSE, adam: GOOD }, { objective });
    expect(recommendation.verdict).toBe('none');
    expect(recommendation.optimizer).toBeUndefined();
    expect(recommendation.reasons[0]).toContain('No optimizer reached val.accuracy 0.99');
    expect(optimizers[0].measures.missed).toBe(8);
    expect(optimizers[0].measures.toTarget.seconds).toBe(Number.POSITIVE_INFINITY);
  });

  it('counts a finalist that misses the target as infinitely late', async () => {
    const objective = { metric: 'val.accuracy', mode: 'max', target: 0.85 } as const;
    const { recommendation, finals, optimizers } = await fakeJobReport({ sgd: WORSE, adam: GOOD }, { objective });
    expect(recommendation).toMatchObject({ verdict: 'clear', optimizer: 'adam' });
    expect(finals.comparisons[0].effect).toBe(Number.NEGATIVE_INFINITY);
    expect(finals.comparisons[0].pairs).toBe(8);
    expect(optimizers.find(({ optimizer }) => optimizer === 'sgd')?.measures.missed).toBe(8);
  });

  it('shows failures: crashes, divergence, and a race in which everything failed', async () => {
    const bad = { best: 1, top: 1, crashes: () => true };
    const one = await fakeJobReport({ adam: GOOD, bad, wild: { best: 0.001, top: 0.9, limit: 0.002 } });
    const of = (name: string) => one.optimizers.find(({ optimizer }) => optimizer === name);
    expect(of('bad')?.measures.crashed).toBe(8);
    expect(of('bad')?.tuning[0].message).toBe('out of memory');
    expect(of('wild')?.measures.divergenceRate).toBeGreaterThan(0);
    const all = await fakeJobReport({ bad });
    expect(all.recommendation).toMatchObject({ verdict: 'none' });
    expect(all.recommendation.reasons[0]).toContain('Every optimizer failed');
  });

  it('of a race that was stopped says so', async () => {
    const report = await fakeJobReport({ adam: GOOD }, {}, AbortSignal.abort());
    expect(report.ended).toBe('aborted');
    expect(report.recommendation.verdict).toBe('none');
    expect(report.recommendation.reasons[0]).toContain('--resume');
    expect(report.recommendation.reasons).toHaveLength(1);
  });

  it('of a race that was stopped among its rates says who leads at the last step that both have reached', async () => {
    const stop = new AbortController();
    let first = 0;
    const crashes = ({ stopStep }: Trial) => {
      first ||= stopStep;
      if (stopStep > first) stop.abort();
      return false;
    };
    const { recommendation } = await fakeJobReport(
      { sgd: { ...WORSE, crashes }, adam: { ...GOOD, crashes } },
      {},
      stop.signal,
    );
    expect(recommendation).toMatchObject({ verdict: 'none' });
    expect(recommendation.optimizer).toBeUndefined();
    const [why, leads, hint] = recommendation.reasons;
    expect(why).toContain('--resume');
    expect(leads).toMatch(
      /^So far, after \d+ of 270 steps on one seed, best by val\.accuracy: adam with lr 0\.001\d* \(0\.\d+\); behind it sgd with lr 0\.001\d* \(0\.\d+\)\.$/,
    );
    expect(leads).toContain(`after ${first} of`);
    expect(hint).toContain('no fresh seed');
  });

  it('measures how far the learning rate may be off', async () => {
    const { optimizers } = await fakeJobReport({ adam: GOOD });
    const { sensitivity } = optimizers[0];
    // The hump loses 5 % at 0.2 d^2 = 0.05 * 0.95 (and a little luck): d = 0.487 decades each way.
    expect(sensitivity?.decades).toBeGreaterThan(0.8);
    expect(sensitivity?.decades).toBeLessThan(1.1);
    expect(sensitivity?.open).toBe(false);
  });

  it('is what its schema says after a way through JSON', async () => {
    const objective = { metric: 'val.accuracy', mode: 'max', target: 0.85 } as const;
    const bad = { best: 1, top: 1, crashes: () => true };
    const report = fakeReport(await fakeJobReport({ sgd: WORSE, adam: GOOD, bad }, { objective }));
    expect(reportSchema.parse(JSON.parse(toLine(report)))).toEqual(report);
  });

  it('scores optimizers over several jobs', async () => {
    const objective = { metric: 'val.accuracy', mode: 'max', target: 0.7 } as const;
    const first = await fakeJobReport({ sgd: WORSE, adam: GOOD }, { objective });
    const second = await fakeJobReport({ sgd: GOOD, adam: WORSE, muon: GOOD }, { objective });
    const scores = new Map(jobProfiles([first, second])?.map(({ optimizer, score }) => [optimizer, score]));
    expect(scores.get('adam')).toBeGreaterThan(0.5);
    expect(scores.get('muon')).toBeLessThanOrEqual(0.5); // it took no part in one of the two
  });
});
