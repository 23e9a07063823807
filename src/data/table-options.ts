import { z } from 'zod';
import { MEMORY_SIZE, type MemorySize } from './memory-size.ts';

/** What all sources of named columns (CSV, Parquet) let the user say about them. */
export interface TableOptions {
  /** The column to predict: its name, or its position from 0 where the file has no header. */
  readonly target: string | number;
  /** Columns to leave out (ids, names, dates). */
  readonly ignore?: readonly (string | number)[];
  /** What a column is, where the guess is wrong: a zip code is a 'category'. */
  readonly types?: Readonly<Record<string, 'number' | 'category' | 'boolean'>>;
  /** Number columns: 'standard' (default) to mean 0 and standard deviation 1, 'minmax' to [0, 1], or false. Never the target. */
  readonly normalize?: 'standard' | 'minmax' | false;
  /**
   * 'classification': the target becomes labels i32 with class names; 'regression': f32. Default: classification for
   * texts, booleans and integers with at most 20 different values in the training rows, else regression.
   */
  readonly task?: 'classification' | 'regression';
  /**
   * Cells without a value: 'error' (default); 'mean': the training mean (categories and booleans: the most frequent training
   * value), never for the target; 'drop': such rows are left out.
   */
  readonly missing?: 'error' | 'mean' | 'drop';
  /** Texts that mean "no value". Default: '', 'NA', 'N/A', 'NaN', 'nan', 'null', '?'. */
  readonly missingValues?: readonly string[];
  /** A category that the training rows do not have: 'error' (default), or 'zeros' in its one-hot numbers. */
  readonly unknown?: 'error' | 'zeros';
  /** Most different values of a category column or of the target's classes. Default 1000. */
  readonly maxCategories?: number;
  /**
   * Memory for the rows, for tables that are larger: '500MB', 2e9. They are then read in chunks, kept encoded in a temporary file, and brought
   * into memory in windows ahead of the training (docs/data.md says how they are shuffled). Default: all rows are in memory.
   */
  readonly memory?: MemorySize;
}

/** What means "no value" unless the source says otherwise. */
export const MISSING_VALUES: readonly string[] = ['', 'NA', 'N/A', 'NaN', 'nan', 'null', '?'];

const name = z.union([z.string(), z.number().int().nonnegative()]).transform(String);

export const TABLE_OPTIONS = z.strictObject({
  target: name,
  ignore: z.array(name).default([]),
  types: z.record(z.string(), z.enum(['number', 'category', 'boolean'])).default({}),
  normalize: z.enum(['standard', 'minmax']).or(z.literal(false)).default('standard'),
  task: z.enum(['classification', 'regression']).optional(),
  missing: z.enum(['error', 'mean', 'drop']).default('error'),
  missingValues: z.array(z.string()).default([...MISSING_VALUES]),
  unknown: z.enum(['error', 'zeros']).default('error'),
  maxCategories: z.number().int().min(2).default(1000),
  memory: MEMORY_SIZE.optional(),
});

/** The description of such a source with its defaults filled in. */
export type TableSource = z.output<typeof TABLE_OPTIONS> & { readonly kind: string; readonly path: string };
