import fc from 'fast-check';
import { expect, test } from 'vitest';
import { layoutTensors, makeBlocks } from '../../src/graph/layout.ts';

const init = { kind: 'constant', value: 0 } as const;
const shapes = fc.array(fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 3 }), { maxLength: 8 });

test('tensors start on 64-byte lines, in order, without overlap', () => {
  fc.assert(
    fc.property(shapes, (drawn) => {
      const { entries, flatSize } = layoutTensors(drawn.map((shape, i) => ({ name: `t${i}`, shape, init })));
      let end = 0;
      for (const { offset, size, shape } of entries) {
        expect(offset % 16).toBe(0);
        expect(offset - end).toBeGreaterThanOrEqual(0);
        expect(offset - end).toBeLessThan(16);
        expect(size).toBe(shape.reduce((n, d) => n * d, 1));
        end = offset + size;
      }
      expect(flatSize % 16).toBe(0);
      expect(flatSize - end).toBeLessThan(16);
    }),
  );
});

test('blocks cover every element of every tensor once', () => {
  fc.assert(
    fc.property(shapes, fc.integer({ min: 1, max: 20 }), (drawn, lines) => {
      const { entries, flatSize } = layoutTensors(drawn.map((shape, i) => ({ name: `t${i}`, shape, init })));
      const covered = new Uint8Array(flatSize);
      for (const { tensor, offset, length } of makeBlocks(entries, 16 * lines)) {
        const { offset: start, size } = entries[tensor];
        expect(length).toBeLessThanOrEqual(16 * lines);
        expect(offset % 16).toBe(0);
        expect(offset >= start && offset + length <= start + size).toBe(true);
        for (let i = offset; i < offset + length; i++) covered[i]++;
      }
      for (const { offset, size } of entries)
        expect(covered.subarray(offset, offset + size).every((n) => n === 1)).toBe(true);
      expect(covered.reduce((sum, n) => sum + n, 0)).toBe(entries.reduce((sum, e) => sum + e.size, 0));
    }),
  );
});

test('two parameters of one name are refused', () => {
  const spec = { name: 'w', shape: [2], init };
  expect(() => layoutTensors([spec, spec])).toThrow(expect.objectContaining({ code: 'E_MODEL' }));
});

test('groups and initialisers are carried over', () => {
  const { entries } = layoutTensors([
    { name: 'a', shape: [3], init: { kind: 'normal', mean: 0, std: 2 }, group: 1 },
    { name: 'b', shape: [], init },
  ]);
  expect(entries).toEqual([
    { name: 'a', shape: [3], size: 3, offset: 0, init: { kind: 'normal', mean: 0, std: 2 }, group: 1 },
    { name: 'b', shape: [], size: 1, offset: 16, init, group: 0 },
  ]);
});
