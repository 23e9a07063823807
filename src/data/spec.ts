import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { parseOptions } from '../optim/options.ts';
import type { FieldInfo, FieldType } from './contract.ts';
import { describeValue } from './describe.ts';

/** What a field of user-made rows is. */
export interface FieldSpec {
  readonly dtype: FieldType;
  /** Shape of one row. Default []: a scalar. */
  readonly shape?: readonly number[];
  /** i32: values are in [0, size). */
  readonly size?: number;
}

const SPEC = z.strictObject({
  dtype: z.enum(['f32', 'i32']),
  shape: z.array(z.number().int().positive()).readonly().default([]),
  size: z.number().int().positive().optional(),
});

export type ParsedSpec = z.output<typeof SPEC>;

/** The types of the fields of a spec, for `Source`. */
export type SpecFields<S extends Readonly<Record<string, FieldSpec>>> = { [K in keyof S]: S[K]['dtype'] };

/** Checks a spec with E_OPTION errors; `where` is the source. */
export function parseSpec(spec: unknown, where: string): Record<string, ParsedSpec> {
  const entries = typeof spec === 'object' && spec !== null ? Object.entries(spec) : [];
  if (entries.length === 0) {
    throw new LockstepError('E_OPTION', {
      where: `${where}: spec`,
      expected: "at least one field, such as { x: { dtype: 'f32', shape: [4] } }",
      got: describeValue(spec),
      fix: 'name the fields of a row with their element types and shapes',
    });
  }
  return Object.fromEntries(
    entries.map(([name, field]) => {
      const parsed = parseOptions(SPEC, field, `${where}: spec.${name}`);
      if (parsed.dtype === 'f32' && parsed.size !== undefined) {
        throw new LockstepError('E_OPTION', {
          where: `${where}: spec.${name}.size`,
          expected: 'no size for f32 numbers',
          got: String(parsed.size),
          fix: "remove it, or make the field dtype: 'i32'",
        });
      }
      return [name, parsed];
    }),
  );
}

export function specFieldInfo(name: string, { dtype, shape, size }: ParsedSpec): FieldInfo {
  return size === undefined ? { name, dtype, shape } : { name, dtype, shape, size };
}
