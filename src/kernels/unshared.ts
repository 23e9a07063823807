/**
 * The kernel modules import a shared memory, which web pages have only under cross-origin isolation. The kernels use no atomic
 * instructions, so the same code runs over a memory that is not shared: all that differs is one flag in the import section.
 */
const IMPORT_SECTION = 2;
const MEMORY = 2;
const SHARED = 0b10;

/**
 * A copy of a kernel module's bytes that imports an ordinary memory. Runs in browsers.
 *
 * @throws RangeError if these bytes are no module whose only import is one memory.
 */
export function unsharedModule(module: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(module); // slice() of a Node Buffer would not copy
  let at = 8; // behind magic and version
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  const skipName = (): void => {
    const length = leb();
    at += length;
  };
  while (at < bytes.length) {
    const section = bytes[at++];
    const end = leb() + at;
    if (section !== IMPORT_SECTION) {
      at = end;
      continue;
    }
    if (leb() !== 1) break;
    skipName(); // of the imported module
    skipName(); // and of the field
    if (bytes[at++] !== MEMORY) break;
    bytes[at] &= ~SHARED;
    return bytes;
  }
  throw new RangeError('unsharedModule: not a kernel module with one imported memory');
}
