import type { KeptPoint } from './contract.ts';

/**
 * The points that are being measured, started once and kept while memory has room for them. Where it has not, the one that ran longest
 * ago ends, and is started again when its turn comes.
 */
export class Stage<P, K extends KeptPoint = KeptPoint> {
  readonly #open: (point: P) => Promise<K>;
  readonly #budget: number;
  /** In the order in which they ran last. */
  readonly #kept = new Map<P, K>();
  readonly #bytes = new Map<P, number>();

  /** @param budget bytes that all of them together may take; one may always stay. */
  constructor(open: (point: P) => Promise<K>, budget: number) {
    this.#open = open;
    this.#budget = budget;
  }

  /** The point, ready to run. */
  async take(point: P): Promise<K> {
    const known = this.#kept.get(point);
    if (known) {
      this.#kept.delete(point);
      this.#kept.set(point, known);
      return known;
    }
    await this.#makeRoom(this.#bytes.get(point) ?? Math.max(0, ...this.#bytes.values()));
    const opened = await this.#open(point);
    this.#kept.set(point, opened);
    return opened;
  }

  /** Runs it for so many steps. */
  async run(point: P, steps: number): Promise<{ readonly kept: K; readonly stepsMs: readonly number[] }> {
    const kept = await this.take(point);
    const stepsMs = await kept.run(steps);
    this.#bytes.set(point, kept.bytes);
    return { kept, stepsMs };
  }

  /** Ends one of them; it is started again when its turn comes. */
  async end(point: P): Promise<void> {
    const kept = this.#kept.get(point);
    this.#kept.delete(point);
    await kept?.close();
  }

  async close(): Promise<void> {
    const all = [...this.#kept.values()];
    this.#kept.clear();
    await Promise.all(all.map((kept) => kept.close()));
  }

  async #makeRoom(bytes: number): Promise<void> {
    for (const [point, kept] of this.#kept) {
      const taken = [...this.#kept.keys()].reduce((sum, of) => sum + (this.#bytes.get(of) ?? 0), 0);
      if (taken + bytes <= this.#budget) return;
      this.#kept.delete(point);
      await kept.close();
    }
  }
}
