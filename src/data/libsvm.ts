import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { FieldType, LoadOptions, Source } from './contract.ts';
import { type FilePath, pathText, resolveFile } from './files.ts';
import { readLines } from './lines.ts';
import { MEMORY_SIZE, type MemorySize } from './memory-size.ts';
import { type RawColumn, type RawTable, type SparseRows, type Spill, sharedArray } from './raw.ts';
import type { SourceReader } from './reader.ts';
import { ScratchFile } from './scratch-file.ts';
import { drain, LISTS_IN_MEMORY, type NumberList, spilledLists } from './spilled.ts';
import { emptyFile } from './table-collector.ts';
import { isFewIntegers } from './table-fit.ts';
import { type Part, parseNumber, type Transform } from './transforms.ts';

export interface LibsvmOptions {
  /** Number of features. Default: the largest index in the file. Give it where a test file has larger ones. */
  readonly features?: number;
  /** The smallest index: 1 (default), or 0 in files that count so. */
  readonly base?: 0 | 1;
  /** 'classification': the labels become i32 with class names; 'regression': f32. Default: classification for at most 20 different integers. */
  readonly task?: 'classification' | 'regression';
  /**
   * Memory for the rows, for files that are larger: '500MB', 2e9. What is not zero is then kept in a temporary file and brought into memory in
   * windows ahead of the training (docs/data.md says how rows are shuffled). Default: all is in memory.
   */
  readonly memory?: MemorySize;
}

const OPTIONS = z.strictObject({
  features: z
    .number()
    .int()
    .min(1)
    .max(2 ** 27)
    .optional(),
  base: z.union([z.literal(0), z.literal(1)]).default(1),
  task: z.enum(['classification', 'regression']).optional(),
  memory: MEMORY_SIZE.optional(),
});
const SOURCE = OPTIONS.extend({ kind: z.literal('libsvm'), path: z.string() });
type LibsvmSource = z.output<typeof SOURCE>;

/**
 * Sparse rows in a text file of LIBSVM's format (svmlight), gzipped or not: `label index:value index:value ...` a line, indices ascending,
 * comments after `#`. See `FilePath` for how paths are found.
 *
 * Fields: `x` f32 [features], the values as they are; `y` scalar, i32 labels (classes in numeric order) or f32. In memory only what is not
 * zero takes room; a row becomes dense when a batch is gathered. A raw row is `{ x }`: all numbers, or `{ index: value }` with the file's
 * indices.
 *
 * @throws LockstepError E_OPTION; when loaded E_DATA_MISSING, E_DATA_FORMAT and E_DATA_VALUE with file, line and feature, E_LABEL, E_DATA_EMPTY.
 */
export function libsvm(
  path: FilePath,
  options: LibsvmOptions & { readonly task: 'regression' },
): LibsvmDescription<'f32'>;
export function libsvm(
  path: FilePath,
  options: LibsvmOptions & { readonly task: 'classification' },
): LibsvmDescription<'i32'>;
export function libsvm(path: FilePath, options?: LibsvmOptions): LibsvmDescription<FieldType>;
export function libsvm(path: FilePath, options: LibsvmOptions = {}): LibsvmDescription<FieldType> {
  return { kind: 'libsvm', path: pathText(path, 'libsvm'), ...parseOptions(OPTIONS, options, 'libsvm') };
}

type LibsvmDescription<Y extends FieldType> = Source<{ x: 'f32'; y: Y }> & { readonly kind: 'libsvm' };

export const libsvmReader: SourceReader = {
  read(source: Source, { baseDir, signal }: LoadOptions): Promise<RawTable> {
    const spec = parseOptions(SOURCE, source, 'libsvm');
    return readFile(resolveFile(spec.path, baseDir), spec, signal);
  },
  fit: (source, raw, ids) => fitRows(parseOptions(SOURCE, source, 'libsvm'), raw, ids),
};

async function readFile(file: string, spec: LibsvmSource, signal: AbortSignal | undefined): Promise<RawTable> {
  const spill = spec.memory === undefined ? undefined : { file: new ScratchFile(), memory: spec.memory };
  const rows = new Rows(file, spec, spill);
  await readLines(file, (text, line) => rows.line(text, line), signal);
  return rows.finish();
}

/** Lists of a file: those below. */
const LISTS = 5;

/** The lines of one file as compressed sparse rows. */
class Rows {
  readonly #file: string;
  readonly #spec: LibsvmSource;
  readonly #spill: Spill | undefined;
  readonly #lines: NumberList;
  readonly #labels: NumberList;
  /** Where each row ends. */
  readonly #ends: NumberList;
  readonly #indices: NumberList;
  readonly #values: NumberList;
  #largest = -1;

  constructor(file: string, spec: LibsvmSource, spill: Spill | undefined) {
    this.#file = file;
    this.#spec = spec;
    this.#spill = spill;
    const lists = spill ? spilledLists(spill.file, LISTS, spill.memory / 4) : LISTS_IN_MEMORY;
    [this.#lines, this.#ends, this.#indices] = [lists.i32(), lists.i32(), lists.i32()];
    [this.#labels, this.#values] = [lists.f64(), lists.f32()];
  }

  line(text: string, line: number): void {
    const end = text.indexOf('#');
    const [label, ...pairs] = (end < 0 ? text : text.slice(0, end)).trim().split(/\s+/);
    if (label === '') return;
    const y = parseNumber(label);
    if (!Number.isFinite(y)) {
      const several = /^[\d.,+-]+$/.test(label);
      const fix = several
        ? 'several labels a row are not supported: make a file for each'
        : 'each line is: label index:value index:value ...';
      throw this.#error('E_DATA_VALUE', line, 'a label that is a number', JSON.stringify(label), fix);
    }
    this.#lines.push(line);
    this.#labels.push(y);
    let last = -1;
    for (const pair of pairs) last = this.#pair(pair, last, line);
    if (this.#indices.length > 2 ** 31 - 1) {
      throw this.#error('E_MEMORY', line, 'at most 2^31 values', 'more', 'cut the file into several');
    }
    this.#ends.push(this.#indices.length);
  }

  #pair(pair: string, last: number, line: number): number {
    const { base, features } = this.#spec;
    const colon = pair.indexOf(':');
    const name = pair.slice(0, Math.max(0, colon));
    const value = colon < 0 ? Number.NaN : parseNumber(pair.slice(colon + 1));
    if (!/^\d{1,9}$/.test(name)) {
      const fix =
        name === 'qid'
          ? 'groups of a ranking are not supported: remove qid'
          : 'each line is: label index:value index:value ...';
      throw this.#error('E_DATA_FORMAT', line, 'index:value', JSON.stringify(pair.slice(0, 40)), fix);
    }
    const index = Number(name) - base;
    const where = `, feature ${name}`;
    if (!Number.isFinite(Math.fround(value))) {
      throw this.#error(
        'E_DATA_VALUE',
        line,
        'a finite number that fits f32',
        JSON.stringify(pair.slice(colon + 1, colon + 41)),
        'correct it',
        where,
      );
    }
    if (index < 0)
      throw this.#error(
        'E_DATA_VALUE',
        line,
        'an index of at least 1',
        name,
        'files that count from 0 need base: 0',
        where,
      );
    if (features !== undefined && index >= features) {
      throw this.#error(
        'E_DATA_VALUE',
        line,
        `an index of at most ${features - 1 + base}`,
        name,
        'raise the option features',
        where,
      );
    }
    if (index <= last) {
      throw this.#error(
        'E_DATA_FORMAT',
        line,
        'indices that ascend',
        `${name} after ${last + base}`,
        'sort the line; each index comes once',
        where,
      );
    }
    this.#largest = Math.max(this.#largest, index);
    if (value !== 0) {
      this.#indices.push(index);
      this.#values.push(value);
    }
    return index;
  }

  finish(): RawTable {
    const size = this.#labels.length;
    if (size === 0) throw emptyFile(this.#file, 'no line with a label');
    const width = this.#spec.features ?? this.#largest + 1;
    if (width === 0) throw emptyFile(this.#file, 'rows without a value');
    const place = (row: number, column: string) =>
      `${this.#file} line ${this.#lines.at(row)}${column === 'y' ? ', label' : ''}`;
    const { base } = this.#spec;
    if (this.#spill) {
      const [ends, indices, values, labels] = [this.#ends, this.#indices, this.#values, this.#labels];
      const columns = new Map<string, RawColumn>([
        ['x', { kind: 'pagedSparse', shape: [width], base, ends, indices, values }],
        ['y', { kind: 'cells', at: (row) => labels.at(row) }],
      ]);
      return { size, columns, place, spill: this.#spill };
    }
    const nonZero = this.#indices.length;
    const pointers = sharedArray('i32', size + 1);
    drain(this.#ends, pointers.subarray(1));
    const rows: SparseRows = {
      pointers,
      indices: drain(this.#indices, sharedArray('i32', nonZero)),
      values: drain(this.#values, sharedArray('f32', nonZero)),
    };
    const labels = drain(this.#labels, new Float64Array(size));
    return {
      size,
      columns: new Map([
        ['x', { kind: 'sparse', shape: [width], base, ...rows }],
        ['y', { kind: 'tensor', shape: [], data: labels }],
      ]),
      place,
    };
  }

  #error(
    code: 'E_DATA_FORMAT' | 'E_DATA_VALUE' | 'E_MEMORY',
    line: number,
    expected: string,
    got: string,
    fix: string,
    where = '',
  ): LockstepError {
    return new LockstepError(code, { where: `${this.#file} line ${line}${where}`, expected, got, fix });
  }
}

function fitRows({ task }: LibsvmSource, raw: RawTable, ids: Int32Array | undefined): Transform[] {
  const x = raw.columns.get('x');
  const y = raw.columns.get('y');
  if (x?.kind !== 'sparse' && x?.kind !== 'pagedSparse') throw new TypeError('libsvm: another table');
  if (y?.kind !== 'tensor' && y?.kind !== 'cells') throw new TypeError('libsvm: no labels');
  const distinct = new Set<number>();
  for (let i = 0; i < (ids?.length ?? raw.size); i++) {
    const row = ids ? ids[i] : i;
    distinct.add(y.kind === 'cells' ? Number(y.at(row)) : y.data[row]);
  }
  const values = [...distinct].sort((a, b) => a - b);
  const classes = (task ?? (isFewIntegers(values) ? 'classification' : 'regression')) === 'classification';
  const target: Part = classes
    ? { kind: 'labels', field: 'y', column: 'y', type: 'number', values }
    : { kind: 'tensor', field: 'y', column: 'y', dtype: 'f32', shape: [] };
  return [{ kind: 'tensor', field: 'x', column: 'x', dtype: 'f32', shape: x.shape, sparseFrom: x.base }, target];
}
