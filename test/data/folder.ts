import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type ErrorCode, LockstepError } from '../../src/errors.ts';

/** A folder for one test file, removed after it. `write` gives the name back. */
export function temporaryFolder(): { dir: string; write(name: string, content: string | Uint8Array): string } {
  const dir = mkdtempSync(join(tmpdir(), 'lockstep-data-'));
  afterAll(() => rmSync(dir, { recursive: true, force: true }));
  return {
    dir,
    write(name, content) {
      writeFileSync(join(dir, name), content);
      return name;
    },
  };
}

/** The error that `action` ends in; fails if it is none of ours or has another code. */
export async function failure(code: ErrorCode, action: () => unknown): Promise<LockstepError> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    if (error.code !== code) throw new Error(`expected ${code}, got ${error.code}: ${error.message}`);
    return error;
  }
  throw new Error(`expected ${code}, got no error`);
}

/** An IDX file of any element type, written by DataView: independent of the reader. */
export function idxBytes(code: number, dims: readonly number[], values: readonly number[]): Uint8Array {
  const width = { 8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8 }[code] ?? 1;
  const bytes = new Uint8Array(4 + 4 * dims.length + values.length * width);
  const view = new DataView(bytes.buffer);
  bytes.set([0, 0, code, dims.length]);
  for (const [i, d] of dims.entries()) view.setUint32(4 + 4 * i, d);
  const put = (at: number, v: number): void => {
    if (code === 9) view.setInt8(at, v);
    else if (code === 11) view.setInt16(at, v);
    else if (code === 12) view.setInt32(at, v);
    else if (code === 13) view.setFloat32(at, v);
    else if (code === 14) view.setFloat64(at, v);
    else view.setUint8(at, v);
  };
  for (const [i, v] of values.entries()) put(4 + 4 * dims.length + i * width, v);
  return bytes;
}
