import { isAbsolute, relative, resolve, sep } from 'node:path';
import { LockstepError } from '../../src/errors.ts';

/** The project: what `--sync` copies, and where the commands of nodes run. */
export interface Project {
  /** Here, absolute. */
  readonly folder: string;
  /** On the hosts. */
  readonly remoteFolder: string;
}

/** How lockstep is called: the words before the name of the command. */
export interface Invocation {
  readonly here: readonly string[];
  readonly there: readonly string[];
}

/**
 * The same program here and on a host. Files of the project are named relative to it, so that they are found where the project lies
 * there; a program installed elsewhere (globally) must lie at the same path there.
 */
export function invocation(
  folder: string,
  command: {
    readonly node: string;
    readonly flags: readonly string[];
    readonly main: string;
    readonly remoteNode: string;
  },
): Invocation {
  const { node, flags, main, remoteNode } = command;
  return { here: [node, ...flags, main], there: [remoteNode, ...flags, inProject(folder, main) ?? main] };
}

/** A path in the project, relative to it; undefined for one outside. */
export function inProject(folder: string, path: string): string | undefined {
  const inside = relative(folder, resolve(folder, path));
  return inside === '' || inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside) ? undefined : inside;
}

/** @throws E_LAUNCH for a job that hosts could not find. */
export function jobInProject(folder: string, path: string): string {
  const inside = inProject(folder, path);
  if (inside !== undefined) return inside;
  throw new LockstepError('E_LAUNCH', {
    where: path,
    expected: `a job in the project, ${folder}`,
    got: 'one outside',
    fix: 'run lockstep launch in the folder of the project',
  });
}

/** The first line that a node of `lockstep launch` reads: never in argv, where everybody on the host could read it. */
export interface NodeOrders {
  readonly url: string;
  readonly token?: string;
}

export function encodeOrders({ url, token }: NodeOrders): string {
  return `${JSON.stringify({ url, token })}\n`;
}

/** @throws E_OPTION. */
export function decodeOrders(line: string): NodeOrders {
  try {
    const { url, token } = JSON.parse(line) as Record<string, unknown>;
    if (typeof url === 'string' && token === undefined) return { url };
    if (typeof url === 'string' && typeof token === 'string') return { url, token };
  } catch {
    // said below, without the line: it may hold a token
  }
  throw new LockstepError('E_OPTION', {
    where: 'standard input of lockstep node -',
    expected: 'a line {"url": ..., "token": ...}',
    got: 'something else',
    fix: 'it is for lockstep launch; by hand name the address: lockstep node ws://host:29400 train.ts',
  });
}
