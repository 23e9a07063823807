import { availableParallelism, cpus, hostname } from 'node:os';
import type { EngineName, Place } from '../../cluster/launch/engines.ts';
import { type LaunchOptions, launch } from '../../cluster/launch/launch.ts';
import { awaitMeeting, meetingFile, publishMeeting } from '../../cluster/launch/meeting-file.ts';
import { findPlace } from '../../cluster/launch/place.ts';
import type { NodeOrders } from '../../cluster/launch/remote.ts';
import { DEFAULT_RECONNECT_MS } from '../../cluster/options.ts';
import { makeToken } from '../../cluster/security.ts';
import type { Dashboard } from '../dashboard/dashboard.ts';
import type { Job } from '../train/job.ts';
import type { TrainOptions, TrainResult } from '../train/options.ts';
import { coordinatorOptions, type ListenCommandOptions, tokenOf } from './cluster-options.ts';
import type { Io } from './io.ts';
import { ownProgram } from './launch.ts';
import { loadJob } from './load-job.ts';
import { serve } from './node.ts';
import { showNodes } from './node-table.ts';
import { jobWords } from './options.ts';
import { resumeAsGiven, type TrainCommandOptions, trainLoaded } from './train.ts';

const LOOPBACK = '127.0.0.1';

export interface JoinCommandOptions extends TrainCommandOptions, ListenCommandOptions {
  readonly engine?: EngineName;
  readonly meetIn?: string;
  readonly reconnectMs?: number;
  readonly tlsCa?: string;
}

/** Milliseconds for the node beside a coordinator that has ended: it has nothing to save. */
const DEADLINES = { graceMs: 10_000, termMs: 5_000 };

/** `lockstep join <job>`: one rank of a run that an engine has started. */
export async function joinCommand(
  path: string,
  options: JoinCommandOptions,
  io: Io,
  args: readonly string[],
): Promise<void> {
  const place = findPlace(process.env, options.engine);
  const token = tokenOf(options);
  const workers = options.workers ?? defaultWorkers(place, process.env.SLURM_CPUS_PER_TASK);
  if (place.rank === 0) return lead(path, { ...options, workers }, place, token, io, args);
  const orders = () => ordersOf(place, options, token, io);
  await serve(orders, path, { ...options, workers, name: nameOf(place) }, io, io.stop);
}

/** Rank 0: the coordinator and a node beside it. */
async function lead(
  path: string,
  options: JoinCommandOptions,
  place: Place,
  given: string | undefined,
  io: Io,
  args: readonly string[],
): Promise<void> {
  const { meeting } = place;
  const token = given ?? (meeting.kind === 'file' ? makeToken() : undefined);
  const host = options.host ?? (place.oneHost ? LOOPBACK : meeting.kind === 'address' ? meeting.host : hostname());
  const port = options.port ?? (meeting.kind === 'address' ? meeting.port : 0);
  const { runCoordinator } = await import('../../cluster/index.ts');
  const loaded = await loadJob(path);
  const resume = (runDir: string) => resumeAsGiven(args, runDir);
  await trainLoaded(coordinate, loaded, path, options, io, resume);

  async function coordinate(job: Job, train: TrainOptions, page: Dashboard | undefined): Promise<TrainResult> {
    const note = (text: string) => train.onProgress?.({ kind: 'note', text });
    let withdraw: () => Promise<void> = async () => {};
    const beside: LaunchOptions = {
      hosts: [{ host: 'localhost', local: true, name: nameOf(place), workers: options.workers ?? 'auto' }],
      ...ownProgram('node'),
      jobWords: [path, ...jobWords(options), ...nodeWords(options)],
      ssh: {},
      token,
      alone: place.size === 1,
      mixed: false,
      sync: false,
      deadlines: DEADLINES,
      signal: io.stop,
      onLine: (from, line) => train.onProgress?.({ kind: 'output', from, line }),
      onNote: note,
    };
    try {
      return await launch(beside, ({ signal, onListening }) =>
        runCoordinator(job, {
          ...train,
          startNodes: place.size,
          ...coordinatorOptions(options),
          host,
          port,
          token,
          signal,
          ...(page && showNodes(page)),
          onListening: (at) => {
            note(`${place.engine}: rank 0 of ${place.size}, listening at ${at.url}`);
            onListening(at);
            if (meeting.kind !== 'file') return;
            const file = meetingFile(options.meetIn ?? '.', meeting.id);
            const published = publishMeeting(file, { host: at.host, port: at.port, url: at.url, token: token ?? '' });
            withdraw = async () => (await published)();
          },
        }),
      );
    } finally {
      await withdraw();
    }
  }
}

/** Where rank 0 is; a node dials until somebody listens there. */
async function ordersOf(
  { meeting, oneHost }: Place,
  options: JoinCommandOptions,
  token: string | undefined,
  io: Io,
): Promise<NodeOrders> {
  if (meeting.kind === 'file') {
    const patience = { deadlineMs: options.reconnectMs ?? DEFAULT_RECONNECT_MS, signal: io.stop };
    const met = await awaitMeeting(meetingFile(options.meetIn ?? '.', meeting.id), patience);
    return { url: met.url, token: token ?? met.token };
  }
  const host = options.host ?? (oneHost ? LOOPBACK : meeting.host);
  const port = options.port ?? meeting.port;
  const secure = options.tlsCa !== undefined || options.tlsCert !== undefined;
  return { url: `${secure ? 'wss' : 'ws'}://${host.includes(':') ? `[${host}]` : host}:${port}`, token };
}

/** What the node beside rank 0 is told of the options. */
function nodeWords({ tlsCa, reconnectMs, localSocket }: JoinCommandOptions): string[] {
  return [
    ...(localSocket === false ? ['--no-local-socket'] : []),
    ...(tlsCa === undefined ? [] : ['--tls-ca', tlsCa]),
    ...(reconnectMs === undefined ? [] : ['--reconnect-ms', String(reconnectMs)]),
  ];
}

function nameOf({ rank }: Place): string {
  return `rank ${rank}`;
}

/** What the scheduler has given to a task; else the cores that this process may use, divided by the ranks that share them. */
function defaultWorkers({ ranksHere }: Place, cpusPerTask: string | undefined): number {
  if (cpusPerTask !== undefined && /^[1-9]\d{0,3}$/.test(cpusPerTask)) return Number(cpusPerTask);
  const cores = availableParallelism();
  const bound = cores < cpus().length; // to some of them, as mpirun does: those are ours alone
  return bound ? cores : Math.max(1, Math.floor(cores / ranksHere));
}
