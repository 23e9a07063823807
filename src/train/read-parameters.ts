import { createHash } from 'node:crypto';
import type { Session } from '../parallel/session.ts';

/** The parameters (and running statistics) that a run evaluates with, as they lie in its arena between two segments. */
export interface ReadParameters {
  /** Copies, by name. */
  readonly parameters: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>>;
  /** Of their bytes in the order of the tensor table, padding left out. */
  readonly sha256: string;
}

export function readParameters({ memory, layout, tensors, buffers }: Session): ReadParameters {
  const hash = createHash('sha256');
  const parameters: Record<string, { shape: readonly number[]; data: Float32Array }> = {};
  for (const { name, shape, size, offset } of [...tensors, ...buffers]) {
    const data = new Float32Array(memory.buffer, layout.evaluated + 4 * offset, size).slice();
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    parameters[name] = { shape, data };
  }
  return { parameters, sha256: hash.digest('hex') };
}
