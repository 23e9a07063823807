import { hostname } from 'node:os';
import type { Readable } from 'node:stream';
import type { NodeOptions } from '../../cluster/index.ts';
import { Lines } from '../../cluster/launch/lines.ts';
import type { PreflightAnswer } from '../../cluster/launch/preflight.ts';
import { decodeOrders, type NodeOrders } from '../../cluster/launch/remote.ts';
import { LockstepError } from '../errors.ts';
import { nodeEvents, nodeTls, tokenOf } from './cluster-options.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';
import { ownVersion } from './version.ts';

export interface NodeCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
  readonly name?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly preflight?: boolean;
}

/** `lockstep node <url> <job>`: computes for a coordinator until the run ends. */
export async function nodeCommand(url: string, path: string, options: NodeCommandOptions, io: Io): Promise<void> {
  if (options.preflight) {
    io.out(JSON.stringify(await preflightAnswer(path, options, io)));
    return;
  }
  if (url !== '-') return serve({ url, token: tokenOf(options) }, path, options, io, io.stop);
  const input = new OrdersInput(io.input);
  const orders = await input.orders(io.stop);
  await serve(orders, path, options, io, AbortSignal.any([io.stop, input.ended]));
}

/** Runs a node of this process. */
export async function serve(
  { url, token }: NodeOrders,
  path: string,
  options: NodeCommandOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const { runNode } = await import('../../cluster/index.ts');
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, options);
  const node: NodeOptions = {
    url,
    token,
    ...nodeTls(options),
    workers: options.workers,
    module: loaded.module,
    name: options.name ?? hostname(),
    signal,
    onEvent: nodeEvents(io),
  };
  await runNode(job, node);
}

/** What a host answers to `lockstep launch` before it takes part. */
export async function preflightAnswer(
  path: string,
  options: Pick<NodeCommandOptions, keyof JobOptions>,
  io: Io,
): Promise<PreflightAnswer> {
  const { programHash } = await import('../../cluster/index.ts');
  const { planRun } = await import('../train/plan-run.ts');
  const loaded = await loadJob(path);
  const plan = await planRun(overrideJob(loaded.job, options), { workers: 1, module: loaded.module, signal: io.stop });
  return { lockstep: ownVersion(), node: process.version, program: programHash(plan) };
}

/** Orders come in the first line of standard input; its end is the order to stop. */
class OrdersInput {
  readonly #ended = new AbortController();
  readonly #first: Promise<string>;

  constructor(input: Readable) {
    this.#first = new Promise((resolve, reject) => {
      const lines = new Lines(resolve);
      const end = () => {
        lines.end();
        reject(noOrders());
        this.#ended.abort();
      };
      input
        .on('data', (data: Buffer) => lines.push(data))
        .once('end', end)
        .once('error', end);
    });
    this.#first.catch(() => {}); // it is waited for, if at all, below
  }

  /** Aborts when whoever gave the orders is gone. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  async orders(stop: AbortSignal): Promise<NodeOrders> {
    const stopped = new Promise<never>((_, reject) => {
      stop.addEventListener('abort', () => reject(noOrders()), { once: true });
    });
    return decodeOrders(await Promise.race([this.#first, stopped]));
  }
}

function noOrders(): LockstepError {
  return new LockstepError('E_ABORTED', {
    where: 'standard input of lockstep node -',
    expected: 'a line with address and token',
    got: 'its end',
    fix: 'nothing: whoever started the node has stopped it',
  });
}
