import type { EventQueue } from './events.ts';

/**
 * The cores of a machine, as an operating system gives them to threads: one that begins to run gets a core that has nothing to do, or else
 * the one with the fewest threads, and stays there until it waits again; threads on one core share it evenly. On all cores they are slowed
 * down by what memory and caches they share.
 */
export class Cores {
  readonly #queue: EventQueue;
  readonly #slowdown: (busy: number) => number;
  readonly #cores: Core[];
  #at = 0;
  /** Counts the plans for the next thread to be done: only the newest counts. */
  #plan = 0;

  /** @param slowdown how many times as long a thread takes while so many cores are busy. */
  constructor(queue: EventQueue, cores: number, slowdown: (busy: number) => number) {
    this.#queue = queue;
    this.#slowdown = slowdown;
    this.#cores = Array.from({ length: cores }, () => ({ worked: 0, running: [] }));
  }

  /** A thread computes, from now on, what takes `ms` where it is alone. */
  run(ms: number, done: () => void): void {
    this.#advance();
    const core = this.#cores.reduce((least, c) => (c.running.length < least.running.length ? c : least));
    const task = { until: core.worked + ms, done };
    let i = core.running.length;
    while (i > 0 && core.running[i - 1].until > task.until) i--;
    core.running.splice(i, 0, task);
    this.#next();
  }

  /** Milliseconds of work that a thread gets done in one, where it has a core for itself. */
  get #speed(): number {
    const busy = this.#cores.reduce((sum, { running }) => sum + (running.length > 0 ? 1 : 0), 0);
    return 1 / this.#slowdown(Math.max(1, busy));
  }

  #advance(): void {
    const passed = (this.#queue.now - this.#at) * this.#speed;
    for (const core of this.#cores) if (core.running.length > 0) core.worked += passed / core.running.length;
    this.#at = this.#queue.now;
  }

  #next(): void {
    const plan = ++this.#plan;
    const leftOf = ({ running: [first], running, worked }: Core) => Math.max(0, first.until - worked) * running.length;
    let next: Core | undefined;
    for (const core of this.#cores) {
      if (core.running.length > 0 && (next === undefined || leftOf(core) < leftOf(next))) next = core;
    }
    if (next === undefined) return;
    const core = next;
    this.#queue.at(this.#at + leftOf(core) / this.#speed, () => {
      if (plan !== this.#plan) return;
      this.#advance();
      const first = core.running.shift();
      if (first) core.worked = Math.max(core.worked, first.until); // rounding
      this.#next();
      first?.done();
    });
  }
}

/** What runs on a core, the first to be done first, and the work that each of its threads has got done since the beginning. */
interface Core {
  worked: number;
  readonly running: { readonly until: number; readonly done: () => void }[];
}

/** A thread that does one thing after the other: the one of a process that has the sockets. */
export class Thread {
  readonly #cores: Cores;
  readonly #waiting: { readonly ms: number; readonly done: () => void }[] = [];
  #busy = false;

  constructor(cores: Cores) {
    this.#cores = cores;
  }

  run(ms: number, done: () => void): void {
    this.#waiting.push({ ms, done });
    if (!this.#busy) this.#next();
  }

  #next(): void {
    const task = this.#waiting.shift();
    this.#busy = task !== undefined;
    if (!task) return;
    this.#cores.run(task.ms, () => {
      task.done();
      this.#next();
    });
  }
}
