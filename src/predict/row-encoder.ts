import type { FieldInfo, FittedTransform } from '../data/contract.ts';
import { describeValue, didYouMean } from '../data/describe.ts';
import { byteValue, Encoder, encodePart, type Part, type RawRow } from '../data/transforms.ts';
import { LockstepError } from '../errors.ts';
import { sizeOf } from '../graph/tensor.ts';

/** Where a row stands, for messages: `rows[3]`, `data.csv line 7`. */
export type RowPlace = (row: number) => string;

/** What writes rows: the live memory of a field, all rows. */
export type FieldMemory = (name: string) => Float32Array | Int32Array | undefined;

/** A part of a field, with what encoding it needs every time. */
interface BoundPart {
  readonly part: Part;
  readonly at: number;
  /** For bytes: the number that each byte becomes. */
  readonly table: Float32Array | undefined;
}

interface BoundField {
  readonly name: string;
  /** Elements of a row. */
  readonly width: number;
  readonly parts: readonly BoundPart[];
}

/** Raw rows to the fields that a model reads, by the transforms that were fitted in training: the same numbers as there. */
export class RowEncoder {
  /** Columns that a row must have. */
  readonly columns: readonly string[];
  /** Columns that a row may have: those of the training data. */
  readonly mayHave: readonly string[];
  readonly #encoder: Encoder;
  readonly #fields: readonly BoundField[];
  readonly #known: ReadonlySet<string>;

  /** `read`: names of the fields to encode. Throws E_CHECKPOINT if the transforms do not make one of them. */
  constructor(transforms: readonly FittedTransform[], fields: readonly FieldInfo[], read: readonly string[]) {
    this.#encoder = new Encoder(transforms);
    this.#fields = read.map((name) => bindField(name, fields, this.#encoder));
    this.columns = [...new Set(this.#fields.flatMap((f) => f.parts.map(({ part }) => part.column)))];
    const made = this.#encoder.fields.flatMap((f) => this.#encoder.parts(f.name).map((part) => part.column));
    this.#known = new Set([...this.columns, ...made, ...this.#encoder.ignored]);
    this.mayHave = [...this.#known];
  }

  /**
   * Writes `row` as row `slot` of every field. `index` and `place` say where it stands.
   *
   * @throws E_DATA_MISSING for a column that is not there, E_DATA_VALUE, E_LABEL or E_SHAPE for a value that cannot be.
   */
  encode(row: RawRow, slot: number, memory: FieldMemory, index: number, place: RowPlace): void {
    const at = (i: number, column: string) => `${place(i)}, column "${column}"`;
    for (const { name, width, parts } of this.#fields) {
      const out = memory(name);
      if (!out) continue;
      const begin = slot * width;
      for (const { part, at: offset, table } of parts) {
        const raw = row[part.column];
        if (raw === undefined && !Object.hasOwn(row, part.column)) throw lacks(part.column, row, place(index));
        if (table && raw instanceof Uint8Array && raw.length === width) {
          for (let i = 0; i < raw.length; i++) out[begin + i] = table[raw[i]];
        } else encodePart(part, this.#encoder.valueOf(part.column, raw), out, begin + offset, index, at);
      }
    }
  }

  /** Throws unless `row` is an object without columns that the training data did not have. */
  check(row: unknown, index: number, place: RowPlace): asserts row is RawRow {
    if (typeof row !== 'object' || row === null || Array.isArray(row) || ArrayBuffer.isView(row)) {
      throw new LockstepError('E_DATA_VALUE', {
        where: place(index),
        expected: `an object with ${list(this.columns)}`,
        got: describeValue(row),
        fix: this.columns.length === 1 ? `give { ${this.columns[0]}: ... }` : 'give the values by column name',
      });
    }
    for (const name in row) if (!this.#known.has(name)) throw this.unknownColumn(name, place(index));
  }

  /** Whether a column holds arrays. */
  isTensor(column: string): boolean {
    return this.#fields.some((f) =>
      f.parts.some(({ part }) => part.column === column && 'shape' in part && part.shape.length > 0),
    );
  }

  /** Columns of a table that were not in the training data. */
  unknownAmong(names: readonly string[]): string[] {
    return names.filter((name) => !this.#known.has(name));
  }

  unknownColumn(name: string, where: string): LockstepError {
    return new LockstepError('E_DATA_VALUE', {
      where: `${where}, column ${JSON.stringify(name)}`,
      expected: `only columns of the training data (${list(this.mayHave)})`,
      got: 'another one',
      fix: didYouMean(name, this.mayHave, 'leave it out'),
    });
  }
}

function bindField(name: string, fields: readonly FieldInfo[], encoder: Encoder): BoundField {
  const info = fields.find((f) => f.name === name);
  const parts = encoder.parts(name);
  if (!info || parts.length === 0) {
    throw new LockstepError('E_CHECKPOINT', {
      where: `model input ${name}`,
      expected: 'fitted transforms that make it from raw columns',
      got: 'none',
      fix: 'the file is damaged or was not written by Lockstep: use another checkpoint',
    });
  }
  return { name, width: sizeOf(info.shape), parts: parts.map(bindPart) };
}

function bindPart(part: Part): BoundPart {
  const table =
    part.kind === 'bytes' && part.at === undefined
      ? Float32Array.from({ length: 256 }, (_, byte) => byteValue(byte, part.scale, part.shift))
      : undefined;
  return { part, at: part.at ?? 0, table };
}

function lacks(name: string, row: RawRow, where: string): LockstepError {
  const names = Object.keys(row);
  return new LockstepError('E_DATA_MISSING', {
    where: `${where}, column ${JSON.stringify(name)}`,
    expected: 'a value',
    got: names.length === 0 ? 'a row without columns' : `a row with ${list(names)}`,
    fix: didYouMean(name, names, 'give every column that the model was trained on; null where there is no value'),
  });
}

function list(names: readonly string[]): string {
  return names.length > 20 ? `${names.slice(0, 20).join(', ')}, ...` : names.join(', ');
}
