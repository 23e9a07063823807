/** Numbers in sentences and tables of a comparison. Pure. */

/** Four significant digits; exponents only where they help. */
export function formatValue(value: number): string {
  if (Number.isNaN(value)) return '-';
  if (value === Number.POSITIVE_INFINITY) return 'never';
  if (value === Number.NEGATIVE_INFINITY) return 'failed';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6))
    return Number(value.toPrecision(3)).toExponential().replace('e+', 'e');
  return String(Number(value.toPrecision(4)));
}

export function formatSeconds(seconds: number): string {
  if (seconds === Number.POSITIVE_INFINITY) return 'never';
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 1e-3) return `${(1e6 * seconds).toPrecision(3)} us`;
  if (seconds < 1) return `${Number((1000 * seconds).toPrecision(3))} ms`;
  if (seconds < 90) return `${Number(seconds.toPrecision(3))} s`;
  return `${Number((seconds / 60).toPrecision(3))} min`;
}

export function formatBytes(bytes: number): string {
  for (const [unit, size] of [
    ['GiB', 2 ** 30],
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (bytes >= size) return `${Number((bytes / size).toPrecision(3))} ${unit}`;
  }
  return `${bytes} B`;
}

export function formatPercent(share: number): string {
  return Number.isFinite(share) ? `${Math.round(100 * share)} %` : '-';
}
