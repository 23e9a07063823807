import { clockOffset, type RoundSpan, type RoundTimes } from '../src/parallel/timeline.ts';

/** Writes down what a main thread did in a round, on the clock that all threads and processes of a machine share. */
export class RoundClock {
  readonly #offset = clockOffset();

  /** Names with beginning and end by this thread's `performance.now`, in order: what ends before it begins took no time. */
  round(step: number, spans: readonly (readonly [RoundSpan['name'], number, number])[]): RoundTimes {
    let at = Number.NEGATIVE_INFINITY;
    return {
      step,
      spans: spans.map(([name, from, to]) => {
        const start = Math.max(at, from);
        at = Math.max(start, to);
        return { name, start: start + this.#offset, end: at + this.#offset };
      }),
    };
  }
}

/** Takes the times of a coordinator's round. */
export class RoundWatch {
  readonly #clock = new RoundClock();
  readonly #tell: (times: RoundTimes) => void;
  #begun = 0;
  #framed = 0;
  #sent = 0;
  #first: number | undefined;

  constructor(tell: (times: RoundTimes) => void) {
    this.#tell = tell;
  }

  begin(): void {
    this.#begun = performance.now();
    this.#first = undefined;
  }

  /** All that nodes are to be sent is made and waits for the network. */
  framed(): void {
    this.#framed = performance.now();
  }

  /** The last of it for one of them has left. */
  readonly sent = (): void => {
    this.#sent = performance.now();
  };

  /** Something came. */
  heard(): void {
    this.#first ??= performance.now();
  }

  end(step: number): void {
    const now = performance.now();
    const first = this.#first ?? now;
    this.#tell(
      this.#clock.round(step, [
        ['serialise', this.#begun, this.#framed],
        ['send', this.#framed, Math.min(this.#sent, first)],
        ['wait', this.#sent, first],
        ['receive', first, now],
      ]),
    );
  }
}
