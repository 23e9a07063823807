import type { Readable } from 'node:stream';
import type { TerminalStream } from './terminal.ts';

/** What commands may do to the world; `main.ts` gives it to them. */
export interface Io {
  /** Writes a line of results to standard output. */
  out(line: string): void;
  /** Writes to standard output, and waits until its reader can take more: for results of any length. */
  write(text: string): Promise<void>;
  /** Where progress is drawn: standard error. */
  readonly progress: TerminalStream;
  /** Standard input. */
  readonly input: Readable;
  /** Aborts when the user asks to stop (Ctrl-C, SIGTERM). */
  readonly stop: AbortSignal;
}
