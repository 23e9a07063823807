/** How often each byte comes. */
export class ByteHistogram {
  readonly #totals = new Float64Array(256);
  /** Four interleaved tables: equal neighbours do not wait for each other. */
  readonly #counts = new Uint32Array(1024);
  #pending = 0;

  /** Counts data[begin] .. data[end - 1]. */
  add(data: Uint8Array, begin: number, end: number): void {
    const counts = this.#counts;
    let i = begin;
    for (; i + 4 <= end; i += 4) {
      counts[data[i]]++;
      counts[256 + data[i + 1]]++;
      counts[512 + data[i + 2]]++;
      counts[768 + data[i + 3]]++;
    }
    for (; i < end; i++) counts[data[i]]++;
    this.#pending += end - begin;
    if (this.#pending > 2 ** 30) this.#collect();
  }

  /** Exact integer sums, whatever the order. The standard deviation is 1 where all bytes are equal. */
  moments(): [mean: number, std: number] {
    const histogram = this.#collect();
    let [n, sum, squares] = [0, 0, 0];
    for (let b = 0; b < 256; b++) n += histogram[b];
    for (let b = 0; b < 256; b++) sum += b * histogram[b];
    const mean = sum / n;
    for (let b = 0; b < 256; b++) squares += histogram[b] * (b - mean) ** 2;
    return [mean, squares > 0 ? Math.sqrt(squares / n) : 1];
  }

  /** The smallest byte, and how far the largest is from it (at least 1). */
  range(): [min: number, range: number] {
    const seen = Array.from(this.#collect(), (count, b) => (count > 0 ? b : -1)).filter((b) => b >= 0);
    const [min = 0] = seen;
    return [min, Math.max(1, (seen[seen.length - 1] ?? 0) - min)];
  }

  #collect(): Float64Array {
    for (let k = 0; k < 1024; k++) this.#totals[k & 255] += this.#counts[k];
    this.#counts.fill(0);
    this.#pending = 0;
    return this.#totals;
  }
}
