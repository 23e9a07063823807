/** A simulated clock: events in order of time, those of one time in the order in which they were asked for. Pure and repeatable. */
export class EventQueue {
  /** Simulated milliseconds. */
  now = 0;
  readonly #heap: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  #order = 0;

  /** Runs `run` at that time, or now where it has passed. */
  at(time: number, run: () => void): void {
    const heap = this.#heap;
    const event = { at: Math.max(time, this.now), order: this.#order++, run };
    let i = heap.push(event) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(event, heap[parent])) break;
      heap[i] = heap[parent];
      i = parent;
    }
    heap[i] = event;
  }

  /** Runs everything that is due until nothing is left, or `done` says so. */
  run(done: () => boolean = () => false): void {
    while (this.#heap.length > 0 && !done()) {
      const event = this.#pop();
      this.now = event.at;
      event.run();
    }
  }

  #pop() {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let i = 0;
    for (let child = 1; child < heap.length; child = 2 * i + 1) {
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (!before(heap[child], last)) break;
      heap[i] = heap[child];
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function before(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

interface Piece {
  readonly bytes: number;
  readonly latencyMs: number;
  readonly gone: () => void;
}

/** One direction of a network card, and the way behind it. Connections share what it carries, piece by piece. */
export class Card {
  readonly #queue: EventQueue;
  readonly #bytesPerMs: number;
  /** Until when it takes in what has come. */
  #free = 0;
  /** Pieces that wait to leave, by connection; those whose turn it is first. */
  readonly #waiting = new Map<number, Piece[]>();
  #sending = false;

  constructor(queue: EventQueue, bytesPerMs: number) {
    this.#queue = queue;
    this.#bytesPerMs = bytesPerMs;
  }

  /** A piece leaves, behind those of its connection and in turn with those of others; `gone` when it has, and `latencyMs` later. */
  send(connection: number, bytes: number, latencyMs: number, gone: () => void): void {
    const piece = { bytes, latencyMs, gone };
    const waiting = this.#waiting.get(connection);
    if (waiting) waiting.push(piece);
    else this.#waiting.set(connection, [piece]);
    if (!this.#sending) this.#sendNext();
  }

  #sendNext(): void {
    let piece: Piece | undefined;
    for (const [connection, pieces] of this.#waiting) {
      piece = pieces.shift();
      if (piece === undefined) continue;
      this.#waiting.delete(connection);
      this.#waiting.set(connection, pieces); // behind all others
      break;
    }
    this.#sending = piece !== undefined;
    if (piece === undefined) return;
    const { bytes, latencyMs, gone } = piece;
    this.#queue.at(this.#queue.now + bytes / this.#bytesPerMs, () => {
      this.#queue.at(this.#queue.now + latencyMs, gone);
      this.#sendNext();
    });
  }

  /** Bytes that somebody's card has just sent have come in, unless those of others fill this one. */
  take(bytes: number, there: () => void): void {
    this.#free = Math.max(this.#queue.now, this.#free + bytes / this.#bytesPerMs);
    this.#queue.at(this.#free, there);
  }
}

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
