import { hostname } from 'node:os';
import type { Readable } from 'node:stream';
import type { NodeOptions } from '../../cluster/index.ts';
import { Lines } from '../../cluster/launch/lines.ts';
import { encodeIdentity } from '../../cluster/launch/preflight.ts';
import { decodeOrders, type NodeOrders } from '../../cluster/launch/remote.ts';
import { LockstepError } from '../errors.ts';
import type { Identity } from '../train/identity.ts';
import { nodeEvents, nodeTls, tokenOf } from './cluster-options.ts';
import type { Io } from './io.ts';
import { type LoadedJob, loadJob } from './load-job.ts';
import { type JobOptions, overrideJob } from './options.ts';
import { ownVersion } from './version.ts';

export interface NodeCommandOptions extends JobOptions {
  readonly workers?: number | 'auto';
  readonly name?: string;
  readonly tokenFile?: string;
  readonly tlsCa?: string;
  readonly reconnectMs?: number;
  readonly streamData?: boolean;
  readonly localSocket?: boolean;
  readonly preflight?: boolean;
}

/** `lockstep node <url> <job>`: computes for a coordinator until the run ends. */
export async function nodeCommand(url: string, path: string, options: NodeCommandOptions, io: Io): Promise<void> {
  if (options.preflight) {
    io.out(encodeIdentity(await ownIdentity(await loadJob(path), options, io.stop)));
    return;
  }
  if (url !== '-') return serve(async () => ({ url, token: tokenOf(options) }), path, options, io, io.stop);
  const input = new OrdersInput(io.input);
  await serve(() => input.orders(io.stop), path, options, io, AbortSignal.any([io.stop, input.ended]));
}

/** Runs a node in this process. A job that does not load says so before anybody is waited for. */
export async function serve(
  ordersOf: () => Promise<NodeOrders>,
  path: string,
  options: NodeCommandOptions,
  io: Io,
  signal: AbortSignal,
): Promise<void> {
  const { runNode } = await import('../../cluster/index.ts');
  const loaded = await loadJob(path);
  const job = overrideJob(loaded.job, options);
  const { url, token } = await ordersOf();
  const node: NodeOptions = {
    url,
    token,
    ...nodeTls(options),
    workers: options.workers,
    module: loaded.module,
    name: options.name ?? hostname(),
    signal,
    ...(options.reconnectMs === undefined ? {} : { reconnectMs: options.reconnectMs }),
    ...(options.streamData === undefined ? {} : { streamData: options.streamData }),
    ...(options.localSocket === undefined ? {} : { localSocket: options.localSocket }),
    onEvent: nodeEvents(io),
  };
  const { failed, reason } = await runNode(job, node);
  if (!failed) return;
  throw new LockstepError('E_QUORUM', {
    where: url,
    expected: 'a run to its end',
    got: reason,
    fix: 'the coordinator says why; start coordinator and nodes again',
  });
}

/** What a host answers to `lockstep launch` before it takes part; nothing is computed for it. */
export async function ownIdentity(
  loaded: LoadedJob,
  options: JobOptions & { readonly streamData?: boolean },
  signal: AbortSignal,
): Promise<Identity> {
  // Without data nothing can be compiled yet: the coordinator compares the rest when the node joins.
  if (options.streamData) return { lockstep: ownVersion(), program: null, data: null, kernels: null, proof: '' };
  const [{ planRun }, { identityOf }] = await Promise.all([
    import('../train/plan-run.ts'),
    import('../train/identity.ts'),
  ]);
  const plan = await planRun(overrideJob(loaded.job, options), { workers: 1, module: loaded.module, signal });
  return identityOf(plan, '');
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
