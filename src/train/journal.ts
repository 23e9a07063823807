import type { EventName } from '../record/contract.ts';

type Entry = readonly [text: string, event: EventName, data?: Readonly<Record<string, unknown>>];

/**
 * Where whoever works beside the trainer (a coordinator with its nodes) writes down what happens to the run: it is told to people and
 * recorded as an event. What comes before the run's books are open is entered when they are.
 */
export class Journal {
  #early: Entry[] = [];
  #write: ((...entry: Entry) => void) | undefined;

  /** A sentence for people, and what kind of event it is. */
  note(...entry: Entry): void {
    if (this.#write) this.#write(...entry);
    else this.#early.push(entry);
  }

  /** The books are open. */
  open(write: (...entry: Entry) => void): void {
    this.#write = write;
    for (const entry of this.#early.splice(0)) write(...entry);
  }

  /** They are closed: what comes now is nobody's. */
  close(): void {
    this.#write = () => undefined;
  }
}
