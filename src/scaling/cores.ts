import type { EventQueue } from './events.ts';

/** A thread, which prefers the core on which it ran last. */
export interface Runner {
  core?: Core;
}

/** So long a core's caches are thought to be worth waiting for (kernel.sched_migration_cost_ns), and so often the clock ticks (HZ). */
const [HOT_MS, TICK_MS] = [0.5, 4];

/**
 * The cores of a machine, as an operating system gives them to threads (Linux: kernel/sched/fair.c). A thread that wakes up gets a core that
 * has nothing to do, its last one before others, or else the one with the fewest threads; whoever wakes it is still on its own. Threads on one core
 * share it evenly. A core that has nothing to do takes over one of several threads of another: when it runs dry, unless they have just begun to share that, or at a
 * tick of the clock. On all cores threads are slowed down by what memory and caches they share.
 */
export class Cores {
  readonly #queue: EventQueue;
  readonly #slowdown: (busy: number) => number;
  readonly #cores: Core[];
  #at = 0;
  /** Counts the plans for the next thread to be done: only the newest counts. */
  #plan = 0;
  #ticking = false;

  /** @param slowdown how many times as long a thread takes while so many cores are busy. */
  constructor(queue: EventQueue, cores: number, slowdown: (busy: number) => number) {
    this.#queue = queue;
    this.#slowdown = slowdown;
    this.#cores = Array.from({ length: cores }, () => ({ worked: 0, running: [], leaving: undefined, sharedSince: 0 }));
  }

  /** A thread computes, from now on, what takes `ms` where it is alone. */
  run(ms: number, done: () => void, runner: Runner = {}): void {
    this.#advance();
    const loadOf = ({ running, leaving }: Core) => running.length + (leaving && leaving !== runner ? 1 : 0);
    const least = Math.min(...this.#cores.map(loadOf));
    const last = runner.core && loadOf(runner.core) === least ? runner.core : undefined;
    const core = last ?? this.#cores.find((c) => loadOf(c) === least) ?? this.#cores[0];
    this.#put(core, { left: ms, done, runner });
    this.#next();
  }

  #put(core: Core, { left, done, runner }: { left: number; done: () => void; runner: Runner }): void {
    runner.core = core;
    const { running } = core;
    if (running.length === 1) core.sharedSince = this.#queue.now;
    const task = { until: core.worked + left, done, runner };
    let i = running.length;
    while (i > 0 && running[i - 1].until > task.until) i--;
    running.splice(i, 0, task);
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
      if (plan === this.#plan) this.#finish(core);
    });
    this.#tick();
  }

  /** The first thread of a core is done. Whom it wakes finds it there. */
  #finish(core: Core): void {
    this.#advance();
    const first = core.running.shift();
    if (first === undefined) return;
    core.worked = Math.max(core.worked, first.until); // rounding
    core.leaving = first.runner;
    first.done();
    core.leaving = undefined;
    this.#advance();
    if (isIdle(core)) this.#takeOver(core, this.#queue.now - HOT_MS);
    this.#next();
  }

  /** A core without work takes over a thread of one that has been shared since then: of the most, the one that would be done last. */
  #takeOver(idle: Core, sharedBefore: number): void {
    let most: Core | undefined;
    for (const core of this.#cores) {
      const many = core.running.length > Math.max(1, most?.running.length ?? 0);
      if (many && core.sharedSince <= sharedBefore) most = core;
    }
    const task = most?.running.pop();
    if (most && task) this.#put(idle, { ...task, left: task.until - most.worked });
  }

  /** At the next tick, where a core has nothing to do and another too much. */
  #tick(): void {
    if (this.#ticking || !this.#cores.some(isIdle) || !this.#cores.some(isShared)) return;
    this.#ticking = true;
    this.#queue.at((Math.floor(this.#queue.now / TICK_MS) + 1) * TICK_MS, () => {
      this.#ticking = false;
      this.#advance();
      for (const core of this.#cores) if (isIdle(core)) this.#takeOver(core, this.#queue.now);
      this.#next();
    });
  }
}

const isIdle = ({ running }: Core): boolean => running.length === 0;
const isShared = ({ running }: Core): boolean => running.length > 1;

/** What runs on a core, the first to be done first, and the work that each of its threads has got done since the beginning. */
interface Core {
  worked: number;
  readonly running: { readonly until: number; readonly done: () => void; readonly runner: Runner }[];
  /** Is done, and wakes others. */
  leaving: Runner | undefined;
  /** Since when it has had more than one thread. */
  sharedSince: number;
}

/** A thread that does one thing after the other: the one of a process that has the sockets. */
export class Thread {
  readonly #runner: Runner = {};
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
    const done = (): void => {
      task.done();
      this.#next();
    };
    this.#cores.run(task.ms, done, this.#runner);
  }
}
