/**
 * Nodes that were lost shortly before the end of a run. They dial again, and are to hear of the end instead of finding nobody: so the
 * coordinator stays for a moment.
 */
export class Farewell {
  readonly #staysMs: number;
  readonly #now: () => number;
  #missed: { readonly name: string; readonly at: number }[] = [];
  #wake: () => void = () => undefined;

  /** `staysMs`: so long after a loss it is waited for; `now`: milliseconds, by the clock of deadlines. */
  constructor(staysMs: number, now: () => number) {
    this.#staysMs = staysMs;
    this.#now = now;
  }

  /** Somebody is lost. */
  miss(name: string): void {
    const at = this.#now();
    this.#missed = [...this.#missed.filter((missed) => at - missed.at < this.#staysMs), { name, at }];
  }

  /** Somebody of this name is back, or was told. */
  found(name: string): void {
    const index = this.#missed.findIndex((missed) => missed.name === name);
    if (index >= 0) this.#missed.splice(index, 1);
    this.#wake();
  }

  /** Time has passed. */
  beat(): void {
    this.#wake();
  }

  /** Resolves when everybody has heard, or will not come any more. */
  async over(): Promise<void> {
    while (this.#missed.some(({ at }) => this.#now() - at < this.#staysMs)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
