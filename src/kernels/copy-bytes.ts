/**
 * Copies all of `source` to the beginning of `target`; either may be shared memory, which nobody else may touch meanwhile. `set` would copy
 * shared memory word by word, as others might be writing there, in twice the time; to `fill` it is memory like any other.
 */
export function copyBytes(target: Uint8Array, source: Uint8Array): void {
  const { length } = source;
  if (length > target.length) throw new RangeError(`copy: ${length} bytes do not fit in ${target.length}`);
  if (length > 0) Buffer.from(target.buffer, target.byteOffset, length).fill(source);
}
