import { readFileSync } from 'node:fs';

/** CPU seconds of the calling thread so far; NaN where the platform does not tell (neither Linux nor a Node that knows). */
export function threadCpuSeconds(): number {
  const usage = (process as { threadCpuUsage?: () => { user: number; system: number } }).threadCpuUsage?.();
  if (usage) return (usage.user + usage.system) / 1e6;
  try {
    // schedstat: nanoseconds on the CPU, nanoseconds waiting, slices.
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e9;
  } catch {
    return Number.NaN;
  }
}
