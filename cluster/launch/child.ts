import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { LockstepError } from '../../src/errors.ts';
import { Lines } from './lines.ts';
import type { CommandLine } from './ssh.ts';

export interface ChildOptions {
  readonly cwd?: string;
  /** Default: that of this process. */
  readonly env?: NodeJS.ProcessEnv;
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void;
  /** Its standard output goes there instead of to `onLine`. */
  readonly pipeTo?: Child;
}

/** How a child ended: its exit code, or the signal, or why it could not be started. */
export interface ChildEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly error?: Error;
}

/** Milliseconds that a child is given to end by itself, and then after SIGTERM, before it is killed. */
export interface StopDeadlines {
  readonly graceMs: number;
  readonly termMs: number;
}

/**
 * A process that we answer for. It is in a process group of its own, so that Ctrl-C reaches us alone and we end it in order; its standard
 * input is a pipe whose end it takes as the order to stop, so that it ends with us even when we are killed.
 */
export class Child {
  readonly ended: Promise<ChildEnd>;
  readonly #running: ChildProcessWithoutNullStreams;

  constructor({ program, args }: CommandLine, options: ChildOptions = {}) {
    this.#running = spawn(program, args, { cwd: options.cwd, env: options.env, detached: true });
    const { pipeTo } = options;
    if (pipeTo) this.#running.stdout.pipe(pipeTo.#running.stdin);
    for (const name of pipeTo ? (['stderr'] as const) : (['stdout', 'stderr'] as const)) {
      const lines = new Lines((line) => options.onLine?.(line, name));
      this.#running[name].on('data', (data: Buffer) => lines.push(data)).on('end', () => lines.end());
    }
    this.#running.stdin.on('error', () => {}); // it has ended: `ended` says how
    this.ended = new Promise((resolve) => {
      this.#running.once('error', (error) => resolve({ code: null, signal: null, error }));
      this.#running.once('close', (code, signal) => resolve({ code, signal }));
    });
  }

  /** Writes to its standard input, which stays open. */
  tell(text: string): void {
    this.#running.stdin.write(text);
  }

  /** The end of its standard input. */
  closeInput(): void {
    this.#running.stdin.end();
  }

  /** Ends it: waits, closes its input, asks (SIGTERM), kills. Resolves when it is gone. */
  async stop({ graceMs, termMs }: StopDeadlines): Promise<ChildEnd> {
    const kills: [number, () => void][] = [
      [graceMs, () => this.closeInput()],
      [graceMs + termMs, () => this.#running.kill('SIGTERM')],
      [graceMs + 2 * termMs, () => this.#running.kill('SIGKILL')],
    ];
    const timers = kills.map(([ms, kill]) => setTimeout(kill, ms));
    try {
      return await this.ended;
    } finally {
      for (const timer of timers) clearTimeout(timer);
    }
  }
}

const AT_ONCE: StopDeadlines = { graceMs: 0, termMs: 1000 };

/**
 * How they ended, all of them; an abort ends them first.
 *
 * @throws E_ABORTED.
 */
export async function endsOf(children: readonly Child[], signal?: AbortSignal): Promise<ChildEnd[]> {
  const stop = () => {
    for (const child of children) void child.stop(AT_ONCE);
  };
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  try {
    const ends = await Promise.all(children.map((child) => child.ended));
    if (signal?.aborted) throw aborted();
    return ends;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

function aborted(): LockstepError {
  return new LockstepError('E_ABORTED', {
    where: 'launch',
    expected: 'to start',
    got: 'an order to stop',
    fix: 'nothing to do',
  });
}
