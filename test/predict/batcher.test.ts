import { describe, expect, it } from 'vitest';
import { Batcher, type BatchRunner, type Call, sizeFor } from '../../src/predict/batcher.ts';

/** A runner whose answer for a row is the row; writes down its batches. Negative rows cannot be encoded. */
function recorder(sizes: readonly number[]) {
  const batches: { size: number; rows: unknown[] }[] = [];
  const slots: unknown[] = [];
  const runner: BatchRunner = {
    sizes,
    encode(call: Call, index, _size, slot) {
      if (Number(call.rows[index]) < 0) throw new RangeError(call.place(index));
      slots[slot] = call.rows[index];
    },
    run(size) {
      if (slots.splice(0, slots.includes(666) ? 9 : 0).length > 0) throw new RangeError('out of bounds');
      batches.push({ size, rows: slots.slice(0, size) });
    },
    read: (_, slot) => ({ value: slots[slot] as number }),
  };
  const tasks: (() => void)[] = [];
  const batcher = new Batcher(runner, { defer: (task) => void tasks.push(task), close() {} });
  const add = (rows: readonly number[]) =>
    new Promise((resolve, reject) => {
      batcher.add({ rows, place: (i) => `row ${i}`, answers: [], resolve, reject });
    });
  /** Until nothing waits: on a busy machine a turn may end before its work does. */
  const turn = () => {
    while (tasks.length > 0) for (const task of tasks.splice(0)) task();
  };
  return { batches, add, turn, batcher, tasks };
}

const values = (rows: readonly number[]) => rows.map((value) => ({ value }));

describe('Batcher', () => {
  it('computes nothing before its turn, and calls of one turn together', async () => {
    const { add, turn, batches, tasks } = recorder([1, 8]);
    const calls = [add([1]), add([2, 3]), add([4, 5, 6])];
    expect(batches).toEqual([]);
    expect(tasks).toHaveLength(1);
    turn();
    expect(batches).toEqual([{ size: 8, rows: [1, 2, 3, 4, 5, 6] }]);
    expect(await Promise.all(calls)).toEqual([values([1]), values([2, 3]), values([4, 5, 6])]);
  });

  it('cuts long calls and puts the rest with the next ones', async () => {
    const { add, turn, batches } = recorder([4]);
    const calls = [add([1, 2, 3, 4, 5, 6]), add([7, 8, 9])];
    turn();
    expect(batches.map((b) => b.rows)).toEqual([[1, 2, 3, 4], [5, 6, 7, 8], [9, 6, 7, 8]]); // biome-ignore format: a table
    expect(await Promise.all(calls)).toEqual([values([1, 2, 3, 4, 5, 6]), values([7, 8, 9])]);
  });

  it.each([0, 1, 3, 4, 5, 9])('fails a call whose row %s is bad, and no other', async (bad) => {
    const { add, turn } = recorder([1, 4]);
    const rows = Array.from({ length: 10 }, (_, i) => (i === bad ? -1 : i));
    const calls = [add([100, 101, 102]), add(rows), add([200, 201])];
    const failed = expect(calls[1]).rejects.toThrow(`row ${bad}`);
    turn();
    await failed;
    expect(await calls[0]).toEqual(values([100, 101, 102]));
    expect(await calls[2]).toEqual(values([200, 201]));
  });

  it('fails the calls of a batch that cannot be computed, and goes on with others', async () => {
    const { add, turn } = recorder([2]);
    const calls = [add([1]), add([666, 2, 3]), add([4])];
    const failed = calls.slice(0, 2).map((call) => expect(call).rejects.toThrow('out of bounds'));
    turn();
    await Promise.all(failed);
    expect(await calls[2]).toEqual(values([4]));
  });

  it('answers no rows at once, and starts again after it was idle', async () => {
    const { add, turn } = recorder([1]);
    expect(await add([])).toEqual([]);
    for (const value of [1, 2]) {
      const call = add([value]);
      turn();
      expect(await call).toEqual(values([value]));
    }
  });

  it('fails what waits when it is closed', async () => {
    const { add, batcher, turn, batches } = recorder([1]);
    const call = add([1, 2]);
    batcher.close(new Error('closed'));
    await expect(call).rejects.toThrow('closed');
    turn();
    expect(batches).toEqual([]);
  });
});

describe('sizeFor', () => {
  it.each([
    [1, 1], [3, 1], [4, 8], [8, 8], [9, 8], [31, 8], [32, 64], [64, 64], [127, 64], [128, 256], [9999, 256],
  ])('%i rows are computed %i at a time', (rows, size) => {
    expect(sizeFor(rows, [1, 8, 64, 256])).toBe(size);
  }); // biome-ignore format: a table
});
