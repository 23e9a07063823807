import { LockstepError } from '../../src/errors.ts';
import type { Identity } from '../../src/train/identity.ts';
import type { ChildEnd, StopDeadlines } from './child.ts';
import { verdictOf } from './exit-codes.ts';
import type { HostEntry } from './hosts.ts';
import { type ListeningAt, type NodeLife, Nodes } from './nodes.ts';
import { describeEnd, preflight } from './preflight.ts';
import type { Invocation, Project } from './remote.ts';
import { connectionEnded, Restarts } from './restarts.ts';
import type { SshOptions } from './ssh.ts';
import { syncProject } from './sync.ts';

export interface LaunchOptions {
  readonly hosts: readonly HostEntry[];
  readonly project: Project;
  readonly invocation: Invocation;
  /** The job, and the options that change it. */
  readonly jobWords: readonly string[];
  readonly ssh: SshOptions;
  /** The secret that nodes prove to know. */
  readonly token: string | undefined;
  /** No other nodes can come: without these the run cannot go on. */
  readonly alone: boolean;
  /** Copy the project to the hosts first. */
  readonly sync: boolean;
  /** What the hosts must answer to; without it they are not asked. */
  readonly preflight?: () => Promise<Identity>;
  /** Admit other kernels. */
  readonly mixed: boolean;
  readonly deadlines: StopDeadlines;
  readonly signal: AbortSignal;
  /** A line that a node has printed. */
  onLine(name: string, line: string): void;
  onNote(text: string): void;
}

/** The coordinator's part of a launch: it calls `onListening` when nodes may come, and ends with the run or the signal. */
export type Coordinate<T> = (hooks: { signal: AbortSignal; onListening(at: ListeningAt): void }) => Promise<T>;

/**
 * Runs a coordinator here and a node on every host, by ssh or, for localhost, as a process; whatever happens, the nodes are gone when
 * it settles. A lost node does not end the run, the last one does, and so does one that could never take part. One whose ssh connection has
 * ended is started again.
 *
 * @throws E_UNREACHABLE, E_LAUNCH, E_QUORUM, or what the coordinator throws.
 */
export async function launch<T>(options: LaunchOptions, coordinate: Coordinate<T>): Promise<T> {
  await prepare(options);
  const failed = new AbortController();
  let failure: LockstepError | undefined;
  const fail = (error: LockstepError) => {
    failure ??= error;
    failed.abort();
  };
  let running = options.hosts.length;
  let undone = false;
  let stopping = false;
  let listening: ListeningAt | undefined;
  const restarts = new Restarts();
  const timers = new Set<NodeJS.Timeout>();
  const start = (entry: HostEntry) => listening && nodes.start(entry, listening, options.token);
  /** Whether a node is to be started again. */
  const startAgain = (entry: HostEntry, end: ChildEnd, { livedMs, reached }: NodeLife, how: string): boolean => {
    const pauseMs = !entry.local && connectionEnded(end) ? restarts.pauseMs(entry, livedMs, reached) : undefined;
    if (pauseMs === undefined) return false;
    options.onNote(
      `${entry.name} is lost (${how}); its shards go to the others, and it is started again in ${pauseMs / 1000} s`,
    );
    const timer = setTimeout(() => {
      timers.delete(timer);
      start(entry);
    }, pauseMs);
    timers.add(timer);
    return true;
  };
  const onEnd = (entry: HostEntry, end: ChildEnd, life: NodeLife) => {
    const verdict = verdictOf(end);
    const how = describeEnd(end, life.last || undefined);
    if (verdict === 'lost' && !stopping && startAgain(entry, end, life, how)) return;
    running--;
    undone ||= verdict !== 'done';
    if (verdict === 'done' || stopping) return;
    if (verdict === 'hopeless') fail(hopeless(entry.name, how));
    else if (options.alone && running === 0 && undone) fail(allLost(entry.name, how));
    else options.onNote(`${entry.name} is lost (${how}); its shards go to the others`);
  };
  const nodes = new Nodes({ ...options, onEnd });
  try {
    const result = await coordinate({
      signal: AbortSignal.any([options.signal, failed.signal]),
      onListening: (at) => {
        listening = at;
        options.hosts.forEach(start);
      },
    });
    if (failure) throw failure;
    return result;
  } catch (error) {
    throw failure ?? error;
  } finally {
    stopping = true;
    timers.forEach(clearTimeout);
    await nodes.stop(options.deadlines);
  }
}

/** Every host that cannot take part is named, not only the first. */
async function prepare(options: LaunchOptions): Promise<void> {
  const remote = options.hosts.filter((entry) => !entry.local);
  const unique = remote.filter((entry, i) => remote.findIndex(({ host }) => host === entry.host) === i);
  const onEach = async (task: (entry: HostEntry) => Promise<void>) => {
    const outcomes = await Promise.allSettled(unique.map(task));
    const errors = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
    for (const error of errors.slice(1)) if (error instanceof Error) options.onNote(error.message);
    if (errors.length > 0) throw errors[0];
  };
  if (options.sync) {
    await onEach(async (entry) => {
      const by = await syncProject(entry, options.project, options.ssh, options.signal);
      options.onNote(`${entry.name}: copied the project to ${options.project.remoteFolder} by ${by}`);
    });
  }
  if (!options.preflight || unique.length === 0) return;
  const own = options.preflight();
  await Promise.all([own, onEach(async (entry) => preflight(entry, options, own))]);
}

function hopeless(host: string, how: string): LockstepError {
  return new LockstepError('E_LAUNCH', {
    where: host,
    expected: 'a node that takes part',
    got: how,
    fix: 'the lines of this host above say why',
  });
}

function allLost(host: string, how: string): LockstepError {
  return new LockstepError('E_QUORUM', {
    where: 'lockstep launch',
    expected: 'at least one node',
    got: `none: the last, ${host}, ended with ${how}`,
    fix: 'start it again; with --run-dir and --resume auto it goes on from its last checkpoint',
  });
}
