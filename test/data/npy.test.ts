import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadData } from '../../src/data/load.ts';
import { npy, npz } from '../../src/data/npy.ts';
import { LockstepError } from '../../src/errors.ts';
import { column, field, rowsOf, values } from './columns.ts';
import { failure, temporaryFolder } from './folder.ts';

/** Files that NumPy itself wrote: scripts/golden/npy.py. */
const golden: {
  cases: { name: string; file: string; shape: number[]; values: number[] }[];
  stored: string;
  deflated: string;
  refused: Record<string, string>;
} = JSON.parse(readFileSync(new URL('../golden/npy.json', import.meta.url), 'utf8'));

const { dir, write } = temporaryFolder();
const options = { seed: 1, baseDir: dir };
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));
const one = (bytes: Uint8Array, dtypes: { x?: 'f32' | 'i32' } = {}) =>
  loadData({ train: npy({ x: write('x.npy', bytes) }, { dtypes }) }, options);

/** An .npy file with any header: what NumPy would not write. */
function npyBytes(header: string, payload: number, version = 1): Uint8Array {
  const head = Buffer.from(`${header}\n`);
  const length = version === 1 ? Buffer.alloc(2) : Buffer.alloc(4);
  if (version === 1) length.writeUInt16LE(head.length);
  else length.writeUInt32LE(head.length);
  return Buffer.concat([
    Buffer.from([0x93]),
    Buffer.from('NUMPY'),
    Buffer.from([version, 0]),
    length,
    head,
    Buffer.alloc(payload),
  ]);
}

describe('npy', () => {
  it.each(golden.cases)('reads what NumPy wrote: $name', async ({ file, shape, values: expected }) => {
    const data = await one(bytesOf(file), { x: 'f32' });
    expect(field(data, 'x')).toMatchObject({ dtype: 'f32', shape: shape.slice(1) });
    expect(values(data.train, 'x')).toEqual(expected);
    expect(data.train.size).toBe(shape[0]);
  });

  it('makes labels of integers and of one byte a row, keeps images as bytes', async () => {
    const labels = await one(npyBytes("{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", 3));
    expect(field(labels, 'x')).toMatchObject({ dtype: 'i32', size: 1 });
    const images = await one(npyBytes("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }", 12));
    expect(column(images.train, 'x').data).toBeInstanceOf(Uint8Array);
    expect(column(images.train, 'x').data.buffer).toBeInstanceOf(SharedArrayBuffer);
  });

  it('normalises each element of numbers, all pixels of images together', async () => {
    const { file } = golden.cases.find((c) => c.name === '<f4') ?? golden.cases[0];
    const data = await loadData(
      { train: npy({ x: write('f.npy', bytesOf(file)) }, { normalize: { x: 'minmax' } }) },
      options,
    );
    for (const j of [0, 1]) {
      const elements = rowsOf(data.train, 'x').map((row) => row[j]);
      expect([Math.min(...elements), Math.max(...elements)]).toEqual([0, 1]);
    }
    const u1 = golden.cases.find((c) => c.name === '|u1') ?? golden.cases[0];
    write('u.npy', bytesOf(u1.file));
    const standard = await loadData({ train: npy({ x: 'u.npy' }, { normalize: { x: 'standard' } }) }, options);
    const seen = values(standard.train, 'x');
    const mean = u1.values.reduce((a, b) => a + b) / 6;
    const std = Math.sqrt(u1.values.reduce((a, b) => a + (b - mean) ** 2, 0) / 6);
    for (const [i, v] of seen.entries()) expect(v).toBeCloseTo((u1.values[i] - mean) / std, 5);
    const unit = await loadData({ train: npy({ x: 'u.npy' }, { normalize: { x: 'minmax' } }) }, options);
    expect(Math.max(...values(unit.train, 'x'))).toBeCloseTo(1, 6);
  });

  it.each(['stored', 'deflated'] as const)('reads %s members of an archive', async (kind) => {
    const data = await loadData({ train: npz(write('a.npz', bytesOf(golden[kind])), { x: 'x', label: 'y' }) }, options);
    expect(rowsOf(data.train, 'x')).toEqual([
      [0, 1, 2],
      [3, 4, 5],
      [6, 7, 8],
      [9, 10, 11],
    ]);
    expect(values(data.train, 'label')).toEqual([0, 1, 2, 1]);
    expect(field(data, 'label')).toMatchObject({ dtype: 'i32', size: 3 });
  });

  it('reads zip64 archives', async () => {
    const data = await loadData(
      { train: npz(write('z64.npz', zip64(bytesOf(golden.cases[0].file))), { x: 'x' }) },
      options,
    );
    expect(values(data.train, 'x')).toEqual(golden.cases[0].values);
  });

  describe('says where and what is wrong with', () => {
    const good = bytesOf(golden.cases[0].file);

    it.each(Object.entries(golden.refused))('an array of type %s', async (_, file) => {
      const error = await failure('E_DTYPE', () => one(bytesOf(file)));
      expect(error.message).toMatch(/x\.npy: expected an element type among .*astype\(numpy\.float32\)/);
    });

    it.each([['a number beyond i32', 'E_DATA_VALUE', /x\.npy, row 1: .* 32 bits, got 4294967296/]] as const)(
      '%s',
      async (_, code, pattern) => {
        const bytes = npyBytes("{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", 16);
        new DataView(bytes.buffer, bytes.byteOffset).setBigInt64(bytes.length - 8, 2n ** 32n, true);
        expect((await failure(code, () => one(bytes))).message).toMatch(pattern);
      },
    );

    it('NaN, with its row', async () => {
      const bytes = good.slice();
      new DataView(bytes.buffer).setUint32(bytes.length - 4, 0x7fc00000, true);
      expect((await failure('E_DATA_VALUE', () => one(bytes))).message).toMatch(
        /x\.npy, row 2, element 1: expected a finite number/,
      );
    });

    it('trailing bytes, other files, and shapes without rows', async () => {
      const trailing = await failure('E_DATA_FORMAT', () => one(Buffer.concat([good, Buffer.alloc(1)])));
      expect(trailing.message).toMatch(/expected 152 bytes for float32 \(3, 2\), got 153: trailing bytes/);
      const other = await failure('E_DATA_FORMAT', () => one(Buffer.from('PK\x03\x04 something')));
      expect(other.message).toMatch(/expected a NumPy array/);
      await failure('E_SHAPE', () => one(npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4)));
      await failure('E_DATA_EMPTY', () =>
        one(npyBytes("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}", 0)),
      );
    });

    it('headers that ask for more memory than the file has, before anything is allocated', async () => {
      const header = (shape: string) => `{'descr': '<f8', 'fortran_order': False, 'shape': ${shape}}`;
      await failure('E_DATA_FORMAT', () => one(npyBytes(header('(100000, 100000)'), 16)));
      await failure('E_DATA_FORMAT', () => one(npyBytes(header('(1000000, 1000000, 1000000)'), 16)));
      await failure('E_DATA_FORMAT', () => one(npyBytes(header(`(${'1,'.repeat(40)})`), 16)));
      await failure('E_DATA_FORMAT', () => one(npyBytes(header('(-1,)'), 16)));
      const long = npyBytes(header('(2,)'), 16, 2);
      new DataView(long.buffer, long.byteOffset).setUint32(8, 2 ** 31, true);
      expect((await failure('E_DATA_FORMAT', () => one(long))).message).toMatch(/a header of at most 65536 bytes/);
    });

    it('arrays of unequal length, a missing array, an unknown option', async () => {
      write('y.npy', npyBytes("{'descr': '<i8', 'fortran_order': False, 'shape': (2,)}", 16));
      const unequal = await failure('E_SHAPE', () =>
        loadData({ train: npy({ x: write('x.npy', good), y: 'y.npy' }) }, options),
      );
      expect(unequal.message).toMatch(/y\.npy: expected 3 rows, as .*x\.npy has, got 2/);
      const missing = await failure('E_DATA_MISSING', () =>
        loadData({ train: npz(write('a.npz', bytesOf(golden.stored)), { x: 'z' }) }, options),
      );
      expect(missing.message).toMatch(/a\.npz: expected an array "z", got x, y/);
      const options_ = { dtypes: { z: 'i32' } } as object;
      expect((await failure('E_OPTION', () => npy({ x: 'x.npy' }, options_))).message).toMatch(/z/);
      await failure('E_OPTION', () => npy({ x: 'x.npy' }, { dtypes: { x: 'i32' }, normalize: { x: 'standard' } }));
    });

    it('a file cut at any byte', async () => {
      for (let cut = 0; cut < good.length; cut++) {
        const error = await failure('E_DATA_FORMAT', () => one(good.subarray(0, cut)));
        expect(error.message).toContain(join(dir, 'x.npy'));
      }
      const archive = bytesOf(golden.deflated);
      for (let cut = 0; cut < archive.length; cut += 3) {
        write('cut.npz', archive.subarray(0, cut));
        await failure('E_DATA_FORMAT', () => loadData({ train: npz('cut.npz', { x: 'x', y: 'y' }) }, options));
      }
    });
  });

  it('loads or explains files with any bits changed', async () => {
    const files = [...golden.cases.map((c) => bytesOf(c.file)), bytesOf(golden.stored), bytesOf(golden.deflated)];
    await fc.assert(
      fc.asyncProperty(
        fc.nat(files.length - 1),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }),
        async (which, changes) => {
          const bytes = files[which].slice();
          for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
          const archive = which >= golden.cases.length;
          const source = archive
            ? npz(write('any.npz', bytes), { x: 'x', y: 'y' })
            : npy({ x: write('any.npy', bytes) });
          const outcome = await loadData({ train: source }, options).catch((error: unknown) => error);
          if (outcome instanceof Error) expect(outcome).toBeInstanceOf(LockstepError);
          else expect(outcome).toHaveProperty('train.size');
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** A stored member whose sizes and offset stand in the zip64 fields, as for archives beyond 4 GiB. */
function zip64(content: Uint8Array): Uint8Array {
  const name = Buffer.from('x.npy');
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50);
  local.writeUInt16LE(name.length, 26);
  const extra = Buffer.alloc(28);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(24, 2);
  extra.writeBigUInt64LE(BigInt(content.length), 4);
  extra.writeBigUInt64LE(BigInt(content.length), 12);
  const central = Buffer.alloc(46);
  central.writeUInt32LE(0x02014b50);
  central.writeUInt32LE(crc32(content), 16);
  for (const at of [20, 24, 42]) central.writeUInt32LE(0xffffffff, at);
  central.writeUInt16LE(name.length, 28);
  central.writeUInt16LE(extra.length, 30);
  const before = Buffer.concat([local, name, content]);
  const directory = Buffer.concat([central, name, extra]);
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50);
  end64.writeBigUInt64LE(1n, 32);
  end64.writeBigUInt64LE(BigInt(directory.length), 40);
  end64.writeBigUInt64LE(BigInt(before.length), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50);
  locator.writeBigUInt64LE(BigInt(before.length + directory.length), 8);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50);
  for (const at of [12, 16]) end.writeUInt32LE(0xffffffff, at);
  return Buffer.concat([before, directory, end64, locator, end]);
}
