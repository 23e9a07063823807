/**
 * What pieces of sums take on their way to the coordinator, of which several may be coming at once: they share its network and its main thread, so
 * each counts for its share of the time in which they come. The times of all are the time in which anything came. Pure: time is passed in.
 */
export class SharedLink {
  /** Milliseconds that whoever has been sending all the time would have had for itself. */
  #clock = 0;
  #at = 0;
  /** Who is sending, and the clock when its piece began. */
  readonly #coming = new Map<number, number>();
  readonly #taken = new Map<number, { ms: number; bytes: number }>();

  /** The first bytes of a piece have come. */
  begin(member: number, now: number): void {
    this.#advance(now);
    this.#coming.set(member, this.#clock);
  }

  /** The last byte of it has come. */
  end(member: number, bytes: number, now: number): void {
    this.#advance(now);
    const since = this.#coming.get(member);
    if (since === undefined) return;
    this.#coming.delete(member);
    const { ms, bytes: before } = this.#taken.get(member) ?? { ms: 0, bytes: 0 };
    this.#taken.set(member, { ms: ms + this.#clock - since, bytes: before + bytes });
  }

  /** What a vector of so many bytes takes by what came of a member since this was asked; undefined if nothing did. */
  msOf(member: number, vectorBytes: number): number | undefined {
    const taken = this.#taken.get(member);
    this.#taken.delete(member);
    return taken && (taken.ms * vectorBytes) / taken.bytes;
  }

  /** Nothing more comes of a member. */
  forget(member: number, now: number): void {
    this.#advance(now);
    this.#coming.delete(member);
    this.#taken.delete(member);
  }

  #advance(now: number): void {
    if (this.#coming.size > 0) this.#clock += (now - this.#at) / this.#coming.size;
    this.#at = now;
  }
}
