import { LockstepError } from '../errors.ts';
import type { Computed, ComputedRead, FieldType, Source } from './contract.ts';
import { describeValue } from './describe.ts';
import { type FieldSpec, parseSpec, type SpecFields, specFieldInfo } from './spec.ts';
import type { Transform } from './transforms.ts';

type Row<S extends Readonly<Record<string, FieldSpec>>> = {
  readonly [K in keyof S]: FieldType extends S[K]['dtype']
    ? Float32Array | Int32Array
    : S[K]['dtype'] extends 'i32'
      ? Int32Array
      : Float32Array;
};

export interface DatasetOptions<S extends Readonly<Record<string, FieldSpec>>> {
  /** Number of rows. */
  readonly size: number;
  /** The fields of a row; i32 fields need `size`. */
  readonly spec: S;
  /**
   * Writes row `id` into `out`, a typed array a field, zeros beforehand. Runs in the workers, whenever the row is needed, so it must
   * be pure in `id` and `random` (uniform in [0, 1), keyed by seed, epoch and id: augmentation), must not be async, and must be
   * exported with the job.
   */
  readonly read: (id: number, out: Row<S>, random: () => number) => void;
}

/**
 * Rows that are computed when they are needed, in the workers: augmentation, memory-mapped files, synthetic data.
 *
 * @throws LockstepError E_OPTION; in `train` E_CUSTOM_CODE if workers cannot import `read`.
 */
export function dataset<const S extends Readonly<Record<string, FieldSpec>>>(
  options: DatasetOptions<S>,
): Source<SpecFields<S>> & { readonly kind: 'dataset' } {
  const { size, spec, read } = options;
  const parsed = parseSpec(spec, 'dataset');
  if (!Number.isInteger(size) || size < 1 || size > 2 ** 31 - 1) {
    throw optionError('size', 'an integer of at least 1', describeValue(size), 'give the number of rows');
  }
  if (typeof read !== 'function') {
    throw optionError('read', 'a function (id, out, random) => void', describeValue(read), 'write the rows in it');
  }
  for (const [name, field] of Object.entries(parsed)) {
    if (field.dtype !== 'i32' || field.size !== undefined) continue;
    throw optionError(
      `spec.${name}.size`,
      'the number of values of an i32 field',
      'nothing',
      'rows are not read beforehand, so their largest value is not known: declare it',
    );
  }
  return { kind: 'dataset', size, spec: parsed, read };
}

/** All rows of a `dataset` source; the loader cuts it into splits by ids. */
export function computedOf(source: Source): Computed {
  const { size, read } = source;
  if (typeof size !== 'number' || !isRead(read)) {
    throw optionError(
      'size or read',
      'a source made by dataset({ size, spec, read })',
      'something else',
      'make it with dataset()',
    );
  }
  const fields = Object.entries(parseSpec(source.spec, 'dataset')).map(([name, spec]) => specFieldInfo(name, spec));
  return { kind: 'computed', size, fields, read };
}

/** Raw rows of a computed data set are its fields as they are. */
export function computedTransforms({ fields }: Computed): Transform[] {
  return fields.map(({ name, dtype, shape, size }) => {
    const part = { kind: 'tensor', field: name, column: name, dtype, shape } as const;
    return size === undefined ? part : { ...part, size };
  });
}

/** The boundary: what users wrote against their spec's types is called with typed arrays of that spec. */
function isRead(read: unknown): read is ComputedRead {
  return typeof read === 'function';
}

function optionError(option: string, expected: string, got: string, fix: string): LockstepError {
  return new LockstepError('E_OPTION', { where: `dataset: ${option}`, expected, got, fix });
}
