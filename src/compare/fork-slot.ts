import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Slot, Trial, TrialLimits, TrialResult } from './contract.ts';

/** What a slot is told; the process that answers is the composition root's (src/cli/compare-slot.ts). */
export type SlotRequest =
  | { readonly kind: 'open'; readonly job: unknown }
  | { readonly kind: 'run'; readonly trial: Trial; readonly limits: TrialLimits };

export type SlotAnswer = { readonly kind: 'result'; readonly result: TrialResult };

/** How much of what a dying process wrote is kept. */
const LAST_WORDS = 400;

/**
 * A slot that is a child process. It loads the job itself (no code travels: `job` says where it is and what to change) and keeps
 * it for all its trials. When the process dies, its trial has crashed, and the next one gets a new process.
 *
 * @param entry file of the process, as URL, `.ts` in a checkout and `.js` once built.
 */
export class ForkSlot implements Slot {
  readonly #entry: string;
  readonly #job: unknown;
  #child: ChildProcess | undefined;
  #closed = false;

  constructor(entry: string, job: unknown) {
    this.#entry = entry;
    this.#job = job;
  }

  run(trial: Trial, limits: TrialLimits = {}): Promise<TrialResult | undefined> {
    const started = performance.now();
    return new Promise((resolve) => {
      if (this.#closed) return resolve(undefined);
      this.#child ??= this.#start();
      const child = this.#child;
      let words = '';
      const listen = (text: Buffer) => {
        words = `${words}${text}`.slice(-LAST_WORDS);
      };
      const settle = (result: TrialResult | undefined) => {
        child.off('message', onMessage).off('exit', onExit).off('error', onError);
        child.stderr?.off('data', listen);
        resolve(this.#closed ? undefined : result);
      };
      const crash = (what: string) => {
        this.#child = undefined;
        const said = words.trim().split('\n').at(-1);
        const message = said ? `${what}: ${said}` : what;
        const wallSeconds = (performance.now() - started) / 1000;
        settle({
          trial,
          outcome: 'crashed',
          message,
          curve: [],
          secondsPerStep: Number.NaN,
          wallSeconds,
          cpuSeconds: 0,
        });
      };
      const onMessage = (answer: SlotAnswer) => settle(answer.result);
      const onExit = (code: number | null, signal: string | null) =>
        crash(`the process of the trial ended with ${signal ?? `code ${code}`}`);
      const onError = (error: Error) => crash(`the process of the trial failed (${error.message})`);
      child.on('message', onMessage).on('exit', onExit).on('error', onError);
      child.stderr?.on('data', listen);
      this.#send(child, { kind: 'run', trial, limits });
    });
  }

  close(): void {
    this.#closed = true;
    this.#child?.kill('SIGKILL'); // it owns nothing that could be left half written
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(this.#entry), [], {
      execArgv: loaderOf(this.#entry),
      serialization: 'advanced', // keeps NaN and Infinity
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    // A death between two trials is met by the next one; an unhandled 'error' would end this process.
    child.on('exit', () => {
      if (this.#child === child) this.#child = undefined;
    });
    child.on('error', () => {});
    this.#send(child, { kind: 'open', job: this.#job });
    return child;
  }

  #send(child: ChildProcess, request: SlotRequest): void {
    child.send(request, () => {}); // a process that is gone tells by 'exit'
  }
}

/** tsx by absolute URL: a process resolves `--import` from the current folder. */
export function loaderOf(entry: string): string[] {
  if (!entry.endsWith('.ts')) return [];
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
  return ['--conditions=lockstep-source', '--import', tsx];
}
