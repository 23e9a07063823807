import { loadKoffi } from './koffi.ts';

/** Linux: MADV_HUGEPAGE of <sys/mman.h>. */
const MADV_HUGEPAGE = 14;

/**
 * Asks Linux to back a memory with 2 MiB pages, before it is touched: fewer walks of the page tables under the kernels, some
 * percent of a step. Where that is not possible (no koffi, another system, switched off) nothing changes but speed.
 */
export function adviseHugePages(buffer: SharedArrayBuffer): boolean {
  if (process.platform !== 'linux') return false;
  const koffi = loadKoffi();
  if (!koffi) return false;
  try {
    const madvise = koffi.load(null).func('int madvise(void*, size_t, int)') as (...args: unknown[]) => unknown;
    return madvise(koffi.address(new Uint8Array(buffer)), buffer.byteLength, MADV_HUGEPAGE) === 0;
  } catch {
    return false; // a libc without madvise
  }
}
