/**
 * How the bench talks to a contestant: a child process that reads one JSON request a line on stdin and answers each with one
 * JSON line on stdout. It stays alive and idle between requests, so rounds of several contestants can be interleaved.
 *
 *   setup      workload, folder with x.f32 or x.i32, y.i32, weights.f32 and weights.json (names and shapes, in order),
 *              batch (rows a process), lr, clip -> { version }
 *   parity     ids: file of row ids (i32) of consecutive global batches -> { losses } from the exported weights
 *   run        seconds, warmup -> { stepsMs }: the time of every step after the warm-up. Peers begin with the exported weights, ours
 *              goes on where its last slice ended
 *   wire       (ours, with nodes) ends that run -> { wire }: what its sockets cost
 *   optimizer  name (of torch.optim), options, parameters, seconds -> { stepsMs } on one tensor; ours is optimizer-peer.ts
 *   accuracy   see accuracy.ts
 *   close      ends the process
 *
 * Any answer may be { error } instead. peers/torch_peer.py and peers/serve.js are the other end, lockstep-peer.ts is ours.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { type ZodType, z } from 'zod';
import type { Workload } from '../../src/scaling/workloads.ts';

export interface SetupRequest {
  readonly cmd: 'setup';
  readonly model: Workload['model'];
  readonly input: Workload['input'];
  readonly target: Workload['target'];
  readonly folder: string;
  readonly batch: number;
  readonly lr: number;
  readonly clip: number;
}

export const SetupReply = z.object({ version: z.string() });
export const ParityReply = z.object({ losses: z.array(z.number()) });
export const RunReply = z.object({ stepsMs: z.array(z.number()).min(1) });

export interface PeerCommand {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export class PeerError extends Error {}

/** Longest wait for an answer; the slowest (learning MNIST in PyTorch) takes a minute or two. */
const ANSWER_MS = 600_000;

export class PeerProcess {
  readonly #name: string;
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #replies: AsyncIterator<string>;
  readonly #closed: Promise<void>;
  #stderr = '';

  constructor({ name, command, args, env }: PeerCommand) {
    this.#name = name;
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    this.#closed = new Promise((resolve) => child.once('close', () => resolve()));
    child.on('error', (error) => {
      this.#stderr += error.message;
    });
    child.stdin.on('error', () => undefined); // a dead child shows in the missing answer
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-2000);
    });
    this.#replies = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** @throws PeerError if the peer refuses, ends or does not answer. */
  async ask<T>(request: object, reply: ZodType<T>): Promise<T> {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const timer = setTimeout(() => {
      this.#stderr += `\nno answer within ${ANSWER_MS / 1000} s`;
      this.#child.kill('SIGKILL');
    }, ANSWER_MS);
    try {
      const parsed: unknown = JSON.parse(await this.#nextObject());
      const failure = z.object({ error: z.string() }).safeParse(parsed);
      if (failure.success) throw new PeerError(`${this.#name}: ${failure.data.error}`);
      return reply.parse(parsed);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The next line that is an object; frameworks like to greet with others. */
  async #nextObject(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#replies.next();
      if (done) {
        await this.#closed;
        throw new PeerError(`${this.#name} ended: ${lastLines(this.#stderr) || 'no message'}`);
      }
      if (value.startsWith('{')) return value;
    }
  }

  /** Asks the process to end, and ends it if it does not. */
  async close(): Promise<void> {
    this.#child.stdin.end('{"cmd":"close"}\n');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await this.#closed;
    clearTimeout(timer);
  }
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' | ');
}
