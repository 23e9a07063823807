import { createRequire } from 'node:module';

/** What is used of the optional package koffi: calls into C libraries. */
export interface Koffi {
  /** `null` is the process itself and the C library. */
  load(path: string | null): { func(prototype: string): (...args: never[]) => unknown };
  /** Where a view's memory lies. */
  address(view: ArrayBufferView): bigint;
}

/** Undefined where it is not installed, or not built for this platform. */
export function loadKoffi(): Koffi | undefined {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    return undefined;
  }
}
