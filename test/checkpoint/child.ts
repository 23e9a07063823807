import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { fixtureUrl } from '../support/fixture.ts';

/** A fixture in a process of its own, with its lines of output. */
export class Child {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  /** Null after a signal. */
  readonly exitCode: Promise<number | null>;

  constructor(fixture: string, args: readonly string[]) {
    const command = [fileURLToPath(fixtureUrl(fixture)), ...args];
    this.process = spawn(process.execPath, command, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.exitCode = once(this.process, 'exit').then(([code]) => code as number | null);
    const { stdout } = this.process;
    if (!stdout) throw new Error('no pipe');
    this.#lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  /** The next line; undefined at the end. */
  async line(): Promise<string | undefined> {
    const { value, done } = await this.#lines.next();
    return done ? undefined : String(value);
  }

  write(text: string): void {
    this.process.stdin?.write(text);
  }

  /** Resolves when the process is gone. */
  async end(how: 'stdin' | 'SIGKILL'): Promise<void> {
    if (how === 'stdin') this.process.stdin?.end();
    else this.process.kill(how);
    await this.exitCode;
  }
}
