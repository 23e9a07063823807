import { describe, expect, it } from 'vitest';
import type { Column, Table } from '../../../src/data/contract.ts';
import { farthest, isConstant, lossBounds, momentsOf } from '../../../src/train/check/rows.ts';

function column(name: string, values: readonly number[], shape: readonly number[] = []): Column {
  return { name, dtype: 'f32', shape, data: Float32Array.from(values), scale: 1, shift: 0 };
}

const table = (...columns: Column[]): Table => ({ kind: 'table', size: 4, columns });

describe('the bounds of a loss', () => {
  // Rows 0 and 1 have equal inputs and different targets; rows 2 and 3 differ.
  const x = column('x', [1, 1, 1, 1, 2, 1, 2, 2], [2]);

  it('are the entropy of the classes, and of those that equal inputs share', () => {
    const y = column('y', [0, 1, 1, 1]);
    const bounds = lossBounds(table(x, y), y, 'crossEntropy');
    expect(bounds?.constant).toBeCloseTo(-(0.25 * Math.log(0.25) + 0.75 * Math.log(0.75)), 12);
    expect(bounds?.floor).toBeCloseTo(0.5 * Math.log(2), 12);
  });

  it('are variances for squared errors', () => {
    const y = column('y', [0, 4, 8, 0]);
    expect(lossBounds(table(x, y), y, 'meanSquaredError')).toEqual({ constant: 11, floor: 2 });
  });

  it('are unknown for other losses and for several targets a row', () => {
    const y = column('y', [0, 1, 1, 1]);
    expect(lossBounds(table(x, y), y, undefined)).toBeUndefined();
    expect(lossBounds(table(x), x, 'meanSquaredError')).toBeUndefined();
  });
});

describe('fields', () => {
  it('have moments by element, of bytes as the model sees them', () => {
    expect(momentsOf(column('x', [0, 10, 2, 10], [2]), 2)).toEqual([
      { element: 0, mean: 1, std: 1 },
      { element: 1, mean: 10, std: 0 },
    ]);
    const bytes: Column = { ...column('x', []), data: Uint8Array.of(0, 255), scale: 2, shift: 1 };
    expect(momentsOf(bytes, 2)).toEqual([{ element: 0, mean: 256, std: 255 }]);
  });

  it('are far from normal by mean or by spread', () => {
    const [small, shifted, wide] = [
      { element: 0, mean: 1, std: 2 },
      { element: 1, mean: -40, std: 0 },
      { element: 2, mean: 0, std: 500 },
    ];
    expect(farthest([small])).toBeUndefined();
    expect(farthest([small, shifted])).toBe(shifted);
    expect(farthest([small, shifted, wide])).toBe(wide);
  });

  it('are constant if every row is the first', () => {
    expect(isConstant(column('y', [3, 3, 3, 3]), 4)).toBe(true);
    expect(isConstant(column('y', [3, 3, 3, 2]), 4)).toBe(false);
    expect(isConstant(column('y', [1, 2, 1, 2], [2]), 2)).toBe(true);
  });
});
