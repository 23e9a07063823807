import { readFileSync } from 'node:fs';
import type { CoordinatorOptions, NodeEvent, NodeOptions } from '../../cluster/index.ts';
import { checkToken } from '../../cluster/security.ts';
import { LockstepError } from '../errors.ts';
import type { WireFormat } from '../parallel/wire-format.ts';
import { formatDuration } from './format.ts';
import type { Io } from './io.ts';
import { givenToken } from './token.ts';

/** Options of every command that runs a coordinator. */
export interface ClusterCommandOptions {
  readonly minNodes?: number;
  readonly startNodes?: number;
  readonly mixed?: boolean;
  readonly wire?: WireFormat | 'auto';
  readonly syncEvery?: number;
  readonly syncWarmup?: number;
  readonly outerLr?: number;
  readonly outerMomentum?: number;
  readonly localSocket?: boolean;
  readonly streamData?: boolean;
  readonly heartbeatMs?: number;
  readonly silenceMs?: number;
  readonly stepMs?: number;
  readonly joinMs?: number;
  readonly quorumMs?: number;
  readonly startMs?: number;
  readonly farewellMs?: number;
}

/** Where a coordinator listens, and with which secret. */
export interface ListenCommandOptions extends ClusterCommandOptions {
  readonly host?: string;
  readonly port?: number;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly insecure?: boolean;
  readonly tokenFile?: string;
}

export const TOKEN_VARIABLE = 'LOCKSTEP_TOKEN';

/** The run's token: of the file, else of the environment, from which it is taken so that no child inherits it. */
export function tokenOf({ tokenFile }: { readonly tokenFile?: string }): string | undefined {
  const { token, where } = givenToken(tokenFile, process.env);
  delete process.env[TOKEN_VARIABLE];
  return token === undefined ? undefined : checkToken(token, '127.0.0.1', where);
}

export function coordinatorOptions(options: ListenCommandOptions): CoordinatorOptions {
  const { host, port, tlsCert, tlsKey, insecure, localSocket, minNodes, startNodes, mixed, wire, streamData } = options;
  const { syncEvery, syncWarmup, outerLr, outerMomentum } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [there, missing] = tlsCert === undefined ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    throw new LockstepError('E_OPTION', {
      where: `option ${there}`,
      expected: `${missing} beside it`,
      got: 'none',
      fix: 'give certificate and key, or neither',
    });
  }
  const { heartbeatMs, silenceMs, stepMs, joinMs, quorumMs, startMs, farewellMs } = options;
  return defined({
    host,
    port,
    insecure,
    localSocket,
    minNodes,
    startNodes,
    mixed,
    wire,
    syncEvery,
    syncWarmup,
    outerLr,
    outerMomentum,
    streamData,
    deadlines: defined({ heartbeatMs, silenceMs, stepMs, joinMs, quorumMs, startMs, farewellMs }),
    tls:
      tlsCert === undefined || tlsKey === undefined
        ? undefined
        : { cert: readText(tlsCert, '--tls-cert'), key: readText(tlsKey, '--tls-key') },
  });
}

/** Without what was not given: the defaults are the cluster's. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** What nodes are told of the coordinator's options. */
export function nodeWords({ streamData, localSocket }: ClusterCommandOptions): string[] {
  return [...(streamData ? ['--stream-data'] : []), ...(localSocket === false ? ['--no-local-socket'] : [])];
}

export function nodeTls({ tlsCa }: { readonly tlsCa?: string }): Pick<NodeOptions, 'tls'> {
  return tlsCa === undefined ? {} : { tls: { ca: readText(tlsCa, '--tls-ca') } };
}

function readText(file: string, option: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new LockstepError('E_OPTION', {
      where: `option ${option}`,
      expected: 'a file that can be read',
      got: error instanceof Error ? error.message : String(error),
      fix: 'check path and rights',
      cause: error,
    });
  }
}

/** What happens to this node, a line each. */
export function nodeEvents(io: Io): (event: NodeEvent) => void {
  return (event) => void io.progress.write(`${renderNodeEvent(event)}\n`);
}

/** Pure. */
export function renderNodeEvent(event: NodeEvent): string {
  switch (event.kind) {
    case 'joined':
      return `joined as node ${event.node}`;
    case 'disconnected':
      return `not connected: ${event.reason}; again in ${formatDuration(event.retryMs / 1000)}; gives up in ${formatDuration(event.leftMs / 1000)} (--reconnect-ms), Ctrl-C ends it`;
    case 'stopped':
      return `ended: ${event.reason}`;
    default:
      return event satisfies never;
  }
}
