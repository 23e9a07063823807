import { describe, expect, expectTypeOf, it } from 'vitest';
import type { Source } from '../../src/data/contract.ts';
import { loadData } from '../../src/data/load.ts';
import { rows } from '../../src/data/rows.ts';
import { field, rowsOf, values } from './columns.ts';
import { failure } from './folder.ts';

const options = { seed: 1, baseDir: '.' };
const spec = { x: { dtype: 'f32', shape: [2] }, y: { dtype: 'i32' } } as const;
const yields = (...records: unknown[]) =>
  rows(spec, async function* () {
    yield* records as { x: number[]; y: number }[];
  });
const load = (source: Source) => loadData({ train: source }, options);

describe('rows', () => {
  it('keeps what a generator yields, across chunks, and runs it once', async () => {
    let runs = 0;
    const n = 70_000; // more than one chunk of 64 Ki numbers
    const source = rows(spec, function* () {
      runs += 1;
      for (let i = 0; i < n; i++) yield { x: [i, i / 2], y: i % 3 };
    });
    expect(runs).toBe(0);
    expectTypeOf(source).toExtend<Source<{ x: 'f32'; y: 'i32' }>>();
    const data = await loadData({ train: source, validation: 0.1 }, options);
    expect(runs).toBe(1);
    expect([data.train.size, data.validation?.size]).toEqual([63_000, 7_000]);
    expect(field(data, 'y')).toEqual({ name: 'y', dtype: 'i32', shape: [], size: 3 });
    const all = [...rowsOf(data.train, 'x'), ...rowsOf(data.validation, 'x')].sort((a, b) => a[0] - b[0]);
    expect(all.every(([a, b], i) => a === i && b === i / 2)).toBe(true);
  });

  it('normalises on request, from doubles', async () => {
    const big = 1_700_000_000; // in f32 these four would be one number
    const source = rows(
      { t: { dtype: 'f32' } },
      function* () {
        for (let i = 0; i < 4; i++) yield { t: big + i };
      },
      { normalize: { t: 'minmax' } },
    );
    expect(values((await load(source)).train, 't')).toEqual([0, 1 / 3, 2 / 3, 1].map(Math.fround));
  });

  it('names the row of what does not fit the spec', async () => {
    const good = { x: [1, 2], y: 0 };
    const check = async (code: Parameters<typeof failure>[0], record: unknown, pattern: RegExp) =>
      expect((await failure(code, () => load(yields(good, record)))).message).toMatch(pattern);
    await check('E_SHAPE', { x: [1, 2, 3], y: 0 }, /row 1, field "x"/);
    await check('E_SHAPE', { x: 1, y: 0 }, /row 1, field "x"/);
    await check('E_DATA_VALUE', { x: [1, Number.NaN], y: 0 }, /row 1, field "x"/);
    await check('E_DATA_VALUE', { x: [1, '2'], y: 0 }, /row 1, field "x".*got "2"/);
    await check('E_DATA_VALUE', { x: [1, 2], y: 0.5 }, /row 1, field "y": expected an i32 integer, got 0.5/);
    await check('E_LABEL', { x: [1, 2], y: -1 }, /row 1, field "y"/);
    await check('E_DATA_MISSING', { x: [1, 2], z: 1 }, /row 1, field "y".*x, z/);
    await check('E_DATA_VALUE', null, /row 1/);
    await failure('E_DATA_EMPTY', () => load(yields()));
    const sized = rows({ id: { dtype: 'i32', size: 5 } }, function* () {
      yield { id: 5 };
    });
    await failure('E_LABEL', () => load(sized));
  });

  it('reports what the generator throws, and closes it after an error', async () => {
    let closed = false;
    const broken = rows(spec, async function* () {
      yield { x: [1, 2], y: 0 };
      throw new Error('connection lost');
    });
    const error = await failure('E_DATA_SOURCE', () => load(broken));
    expect(error.message).toMatch(/row 1.*connection lost/);
    expect(error.cause).toBeInstanceOf(Error);
    const wrong = rows(spec, async function* () {
      try {
        yield { x: [1], y: 0 };
      } finally {
        closed = true;
      }
    });
    await failure('E_SHAPE', () => load(wrong));
    expect(closed).toBe(true);
    const stubborn = rows(spec, function* () {
      try {
        yield { x: [1], y: 0 };
      } finally {
        // biome-ignore lint/correctness/noUnsafeFinally: the failure while closing must not hide the first one
        throw new Error('cannot close');
      }
    });
    await failure('E_SHAPE', () => load(stubborn));
  });

  it('ends when aborted, even while the generator waits forever', async () => {
    const controller = new AbortController();
    let seen: AbortSignal | undefined;
    const hanging = rows(spec, async function* ({ signal }) {
      seen = signal;
      yield { x: [1, 2], y: 0 };
      controller.abort();
      await new Promise(() => {});
    });
    await failure('E_ABORTED', () => loadData({ train: hanging }, { ...options, signal: controller.signal }));
    expect(seen?.aborted).toBe(true);
  });

  it('checks its spec', async () => {
    const none = function* () {};
    expect((await failure('E_OPTION', () => rows({ x: { dtype: 'f23' as 'f32' } }, none))).message).toContain('spec.x');
    await failure('E_OPTION', () => rows({}, none));
    await failure('E_OPTION', () => rows({ x: { dtype: 'f32', size: 3 } }, none));
    await failure('E_OPTION', () => rows({ y: { dtype: 'i32' } }, none, { normalize: { y: 'minmax' } }));
  });
});
