import type { Column, LoadedData, Split } from '../../src/data/contract.ts';
import { byteValue } from '../../src/data/transforms.ts';

/** A column of a split that must be there. */
export function column(split: Split | undefined, name: string): Column {
  if (split?.kind !== 'table') throw new Error('expected a table');
  const found = split.columns.find((c) => c.name === name);
  if (!found) throw new Error(`no column ${name}`);
  return found;
}

/** All values of a field as training sees them: bytes scaled as the gather kernel does. */
export function values(split: Split | undefined, name: string): number[] {
  const { data, scale, shift } = column(split, name);
  return data instanceof Uint8Array ? Array.from(data, (b) => byteValue(b, scale, shift)) : Array.from(data);
}

/** The values of a field cut into rows. */
export function rowsOf(split: Split | undefined, name: string): number[][] {
  const width = column(split, name).shape.reduce((a, b) => a * b, 1);
  const flat = values(split, name);
  return Array.from({ length: flat.length / width }, (_, r) => flat.slice(r * width, (r + 1) * width));
}

export function field(data: LoadedData, name: string) {
  const found = data.fields.find((f) => f.name === name);
  if (!found) throw new Error(`no field ${name}`);
  return found;
}
