import { readFileSync } from 'node:fs';
import type { ClusterEvent, CoordinatorOptions, NodeEvent, NodeOptions } from '../../cluster/index.ts';
import { LockstepError } from '../errors.ts';
import type { Io } from './io.ts';

/** Options of every command that runs a coordinator. */
export interface ClusterCommandOptions {
  readonly minNodes?: number;
  readonly mixed?: boolean;
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
  const given = process.env[TOKEN_VARIABLE];
  delete process.env[TOKEN_VARIABLE];
  return tokenFile === undefined ? given : readText(tokenFile, '--token-file');
}

export function coordinatorOptions(options: ListenCommandOptions): CoordinatorOptions {
  const { host, port, tlsCert, tlsKey, insecure, minNodes, mixed } = options;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    const [there, missing] = tlsCert === undefined ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    throw new LockstepError('E_OPTION', {
      where: `option ${there}`,
      expected: `${missing} beside it`,
      got: 'none',
      fix: 'give certificate and key, or neither',
    });
  }
  const tls =
    tlsCert !== undefined && tlsKey !== undefined
      ? { tls: { cert: readText(tlsCert, '--tls-cert'), key: readText(tlsKey, '--tls-key') } }
      : {};
  return { host, port, insecure, minNodes, mixed, ...tls };
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

/** What happens to nodes, as notes. */
export function clusterEvents(note: (text: string) => void): (event: ClusterEvent) => void {
  return (event) => note(JSON.stringify(event));
}

/** What happens to this node, a line each. */
export function nodeEvents(io: Io): (event: NodeEvent) => void {
  return (event) => void io.progress.write(`${JSON.stringify(event)}\n`);
}
