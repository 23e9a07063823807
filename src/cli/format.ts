/** Numbers for people. Pure; values that are no numbers print as they are (NaN, Infinity). */

/** Four significant digits, exponents only where they help: 0.0123, 98.41, 1.2e-5. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-3 || size >= 1e5)
    return value
      .toExponential(2)
      .replace(/\.?0+e/, 'e')
      .replace('e+', 'e');
  if (size >= 1000) return value.toFixed(0);
  return value.toPrecision(4);
}

/** 1,234,567. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? Math.round(value).toLocaleString('en-US') : String(value);
}

/** 1 shard, 2 shards. */
export function plural(count: number, word: string): string {
  return `${formatCount(count)} ${word}${count === 1 ? '' : 's'}`;
}

/** A rate in three digits: 950, 12.3 k, 1.24 M, 53.2 G. */
export function formatRate(value: number): string {
  if (!Number.isFinite(value)) return '-';
  let scaled = value;
  for (const unit of ['', ' k', ' M', ' G']) {
    if (scaled < 999.5 || unit === ' G') {
      const digits = unit === '' || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
      return `${scaled.toFixed(digits)}${unit}`;
    }
    scaled /= 1000;
  }
  return String(value);
}

/** Seconds as 42 ms, 0.42 s, 12.3 s, 3:07, 1:02:03. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-';
  if (seconds < 0.0995) return `${Math.round(1000 * seconds)} ms`;
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  return formatClock(seconds);
}

/** Seconds as 0:03, 3:07, 1:02:03. */
export function formatClock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-:--';
  const whole = Math.max(0, Math.round(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** A share of 1 as percent: 0.034 is 3 %. */
export function formatShare(share: number): string {
  return Number.isFinite(share) ? `${Math.round(100 * share)} %` : '-';
}

/** Rows as columns, the first one left-aligned, others right-aligned when they hold numbers. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c].length)));
  const numeric = header.map((_, c) => rows.every((row) => /^[\d.,\s]*[A-Za-z%]*$/.test(row[c]) && /^\d/.test(row[c])));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, c) => (numeric[c] ? cell.padStart(widths[c]) : cell.padEnd(widths[c])))
      .join('  ')
      .trimEnd();
  return [line(header), ...rows.map(line)];
}
