import { hostname } from 'node:os';
import { isErrorCode, LockstepError } from '../src/errors.ts';
import type { ConnectionEnd } from './connection.ts';
import type { Of, ToNode } from './messages.ts';

/** What goes wrong between a node and its coordinator, as errors of the node's side. */

export const defaultName = () => `${hostname()}-${process.pid}`;

/** The host of a coordinator's address. @throws E_OPTION for what is none. */
export function hostOf(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed && /^wss?:$/.test(parsed.protocol) && parsed.hostname !== '') return parsed.hostname;
  throw new LockstepError('E_OPTION', {
    where: 'url of the coordinator',
    expected: 'ws://host:port, or wss:// with TLS',
    got: url,
    fix: 'the coordinator prints it when it starts',
  });
}

export function connectionLost({ reason, error }: ConnectionEnd): LockstepError {
  return new LockstepError('E_CONNECTION', {
    where: 'connection to the coordinator',
    expected: 'a run to its end',
    got: reason,
    fix: 'see whether the coordinator runs, and start the node again',
    cause: error,
  });
}

/** What the coordinator has said, as an error of this side. */
export function refused({ code, where, expected, got, fix }: Of<ToNode, 'refuse'>): LockstepError {
  return new LockstepError(isErrorCode(code) ? code : 'E_REFUSED', { where, expected, got, fix });
}

/** The run is over, and this node has not taken part in it. */
export function ended(url: string, reason: string): LockstepError {
  return new LockstepError('E_CONNECTION', {
    where: url,
    expected: 'a run that takes nodes',
    got: `the end of one (${reason})`,
    fix: 'start the node again when the next begins',
  });
}

export function impostor(url: string): LockstepError {
  return new LockstepError('E_REFUSED', {
    where: url,
    expected: 'a coordinator that has the token',
    got: 'one that does not prove it',
    fix: 'give both the same LOCKSTEP_TOKEN; if they have it, somebody else answers at this address',
  });
}
