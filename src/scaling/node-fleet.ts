import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { LinkSpeed } from '../../cluster/faults/link.ts';
import { type CoordinatorOptions, runCoordinator } from '../../cluster/index.ts';
import { loaderOf } from '../compare/fork-slot.ts';
import { isErrorCode, LockstepError } from '../errors.ts';
import type { RoundTimes, WorkerStep } from '../parallel/timeline.ts';
import type { Job } from '../train/job.ts';
import type { NodeStep, OpenPoint, Point } from './contract.ts';
import { KEPT_STEPS, KeptRun, type StartRun } from './kept-run.ts';
import { probeCosts, probeLink } from './link-probe.ts';
import { sizedJob, type TimedJob } from './local.ts';
import type { AskProbe, ProbeTask } from './probe-exchange.ts';
import type { Exchanged, Link, WireCosts } from './scenario.ts';

/** What a node process is asked to do: the point's job, at a coordinator. */
export interface NodeTask {
  /** Of the coordinator, or of a link that leads to it. */
  readonly url: string;
  readonly workers: number;
  readonly rows: number;
  readonly size: Omit<Point, 'roles'>;
}

export type NodeRequest =
  | { readonly kind: 'open'; readonly job: unknown }
  | ({ readonly kind: 'run'; readonly id: number } & NodeTask)
  /** Measure what sockets cost, with the coordinator at that address. */
  | ({ readonly kind: 'probe'; readonly id: number } & ProbeTask)
  /** Lead connections over a link of this speed to a port. */
  | { readonly kind: 'link'; readonly id: number; readonly port: number; readonly speed: LinkSpeed }
  /** How much CPU time it has taken. */
  | { readonly kind: 'cpu'; readonly id: number }
  /** What its workers and its main thread did in these steps of run `of`. */
  | { readonly kind: 'look'; readonly id: number; readonly of: number; readonly first: number; readonly last: number };
export type NodeAnswer = { readonly id: number } & (
  | { readonly kind: 'done' }
  | { readonly kind: 'linked'; readonly url: string }
  | { readonly kind: 'spent'; readonly cpuMs: number }
  | { readonly kind: 'seen'; readonly seen: NodeSteps }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
);

/** Of one node. */
export interface NodeSteps {
  readonly steps: readonly WorkerStep[];
  readonly rounds: readonly RoundTimes[];
}

/** How nodes reach the coordinator. */
export interface Reach {
  /** Those that have not come after so long do not answer. */
  readonly joinMs: number;
  /** Of all but the first. Absent: loopback as it is. */
  readonly link?: Link | undefined;
  /** Absent: fp32, in every step. */
  readonly exchanged?: Exchanged | undefined;
}

/**
 * Node processes on this machine, which take part in one run or in several that take turns. Each loads the job by itself, as on machines of
 * their own: `job` says where it is.
 *
 * @param entry file of the process, as URL, `.ts` in a checkout and `.js` once built.
 */
export class NodeFleet {
  readonly #entry: string;
  readonly #job: unknown;
  readonly #children: ChildProcess[] = [];
  /** A process for links, which is none of the nodes. */
  #links: ChildProcess | undefined;
  #requests = 0;

  constructor(entry: string, job: unknown) {
    this.#entry = entry;
    this.#job = job;
  }

  /** Has nodes take part in a run: its number, and a promise that resolves when all have done their part and rejects when one fails. */
  run(tasks: readonly NodeTask[]): { readonly id: number; readonly done: Promise<void> } {
    const id = ++this.#requests;
    while (this.#children.length < tasks.length) this.#children.push(this.#start());
    const asked = tasks.map((task, i) => ask(this.#children[i], { kind: 'run', id, ...task }));
    return { id, done: Promise.all(asked).then(() => undefined) };
  }

  /** Address of a link of this speed that leads to a port of this machine. It stays until `close`. */
  async link(port: number, { latencyMs, bytesPerMs }: Link): Promise<string> {
    this.#links ??= this.#start();
    const speed = { delayMs: latencyMs, bytesPerSecond: 1000 * bytesPerMs };
    const answer = await ask(this.#links, { kind: 'link', id: ++this.#requests, port, speed });
    if (answer.kind !== 'linked') throw new RangeError(`node fleet: ${answer.kind} instead of a link`);
    return answer.url;
  }

  /** What the sockets of two processes cost here, for vectors of so many bytes. */
  probe(bytes: number, seconds: number, signal?: AbortSignal): Promise<WireCosts> {
    return probeCosts(bytes, seconds, this.#probing(), { signal });
  }

  /** How fast such a link is in truth; `messageMs`: what a message takes without it. */
  probeLink(bytes: number, link: Link, messageMs: number, signal?: AbortSignal): Promise<Link> {
    const lead = (port: number) => this.link(port, link);
    return probeLink(bytes, link, messageMs, this.#probing(), () => this.#linksCpuMs(), { lead, signal });
  }

  async #linksCpuMs(): Promise<number> {
    const answer = this.#links && (await ask(this.#links, { kind: 'cpu', id: ++this.#requests }));
    return answer?.kind === 'spent' ? answer.cpuMs : 0;
  }

  #probing(): AskProbe {
    if (this.#children.length === 0) this.#children.push(this.#start());
    const [child] = this.#children;
    return (task) => ask(child, { kind: 'probe', id: ++this.#requests, ...task });
  }

  /** What the nodes of a run did in these steps. */
  async look(count: number, of: number, first: number, last: number): Promise<readonly NodeSteps[]> {
    const id = ++this.#requests;
    const answers = this.#children.slice(0, count).map((child) => ask(child, { kind: 'look', id, of, first, last }));
    return (await Promise.all(answers)).flatMap((answer) => (answer.kind === 'seen' ? [answer.seen] : []));
  }

  close(): void {
    this.#links?.kill('SIGKILL');
    for (const child of this.#children.splice(0)) child.kill('SIGKILL'); // they own nothing that could be left half written
  }

  #start(): ChildProcess {
    const child = fork(fileURLToPath(this.#entry), [], {
      execArgv: loaderOf(this.#entry),
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    child.setMaxListeners(0); // one for each run
    child.send({ kind: 'open', job: this.#job } satisfies NodeRequest); // it is loaded when it is needed
    return child;
  }
}

function ask(child: ChildProcess, request: Exclude<NodeRequest, { kind: 'open' }>): Promise<NodeAnswer> {
  return new Promise((resolve, reject) => {
    const settle = (answer: NodeAnswer): void => {
      child.off('message', onMessage).off('exit', onExit).off('error', onError);
      if (answer.kind === 'failed') reject(failure(answer));
      else resolve(answer);
    };
    const onMessage = (answer: NodeAnswer): void => {
      if (answer.id === request.id) settle(answer);
    };
    const ended = (message: string): void => settle({ id: request.id, kind: 'failed', code: 'E_CONNECTION', message });
    const onExit = (code: number | null, signal: string | null): void => ended(`it ended with ${signal ?? `code ${code}`}`); // biome-ignore format: one line
    const onError = (error: Error): void => ended(error.message);
    child.on('message', onMessage).on('exit', onExit).on('error', onError);
    if (child.exitCode !== null || child.signalCode !== null) onExit(child.exitCode, child.signalCode);
    else child.send(request);
  });
}

function failure({ code, message }: { readonly code: string; readonly message: string }): LockstepError {
  return new LockstepError(isErrorCode(code) ? code : 'E_CONNECTION', {
    where: 'node process',
    expected: 'to compute its shards to the end',
    got: message,
    fix: 'leave --nodes out to see whether the job runs at all; --verbose shows more',
  });
}

/** The job of a coordinator and of its nodes: without test rows, for they would be evaluated in the end. */
export function nodeJob(job: Job, { rows, size }: Pick<NodeTask, 'rows' | 'size'>): Job {
  const { test: _, ...data } = job.data;
  return sizedJob({ ...job, data }, rows, size, KEPT_STEPS);
}

/**
 * Runs points on real node processes over loopback; all but the first, which is thought to be beside the coordinator, over a link, where one is given. The coordinator's threads, which reduce and update, are those of all nodes.
 */
export function openOnFleet(fleet: NodeFleet, timed: TimedJob, reach: Reach): OpenPoint {
  return async (point) => new FleetRun(fleet, timed, point, reach);
}

/** Of a slice: fewer say nothing. */
const LEAST_ROUNDS = 8;

class FleetRun extends KeptRun {
  readonly #fleet: NodeFleet;
  readonly #nodes: number;
  /** Steps of a round. */
  readonly #every: number;
  /** Number of the run among those of the fleet. */
  #run = 0;
  /** What the main thread here did, by step: of the last slice. */
  #rounds = new Map<number, RoundTimes>();

  constructor(fleet: NodeFleet, timed: TimedJob, point: Point, { joinMs, link, exchanged }: Reach) {
    const { roles: _, ...size } = point;
    const rows = timed.data.train.size;
    const { signal } = timed.options;
    const { format = 'fp32', syncEvery = 1 } = exchanged ?? {};
    const start: StartRun = async (more, onOpen) => {
      const broken = new AbortController();
      let nodes: Promise<void> | undefined;
      let problem: unknown;
      const options: CoordinatorOptions = {
        ...timed.options,
        ...more,
        port: 0,
        localSocket: false, // what is measured here stands for machines of their own
        workers: Math.min(availableParallelism(), point.workers * point.nodes),
        minNodes: point.nodes,
        wire: format,
        syncEvery,
        deadlines: { quorumMs: joinMs },
        signal: AbortSignal.any([broken.signal, ...(signal ? [signal] : [])]),
        onListening: ({ url, port }) => {
          nodes = (async () => {
            const far = link ? await fleet.link(port, link) : url;
            const tasks = Array.from({ length: point.nodes }, (_, i) => ({ url: i === 0 ? url : far, workers: point.workers, rows, size })); // biome-ignore format: one line
            const { id, done } = fleet.run(tasks);
            this.#run = id;
            await done;
          })();
          nodes.catch((error: unknown) => {
            problem = error;
            broken.abort();
          });
        },
        onRound: (times) => void this.#rounds.set(times.step, times),
      };
      try {
        const result = await runCoordinator(nodeJob(timed.job, { rows, size }), options, onOpen);
        if (!signal?.aborted) await nodes; // else they may still look for a coordinator that is gone
        return result;
      } catch (error) {
        throw signal?.aborted ? error : (problem ?? withoutAnswer(error, point, joinMs));
      }
    };
    super(start, point.batch * syncEvery, 1 + point.nodes);
    this.#every = syncEvery;
    this.#fleet = fleet;
    this.#nodes = point.nodes;
  }

  /** With local steps whole rounds, and the mean of each. */
  override async run(steps: number): Promise<readonly number[]> {
    this.#rounds.clear();
    const roundsMs = await super.run(Math.max(LEAST_ROUNDS, Math.ceil(steps / this.#every)));
    return roundsMs.map((ms) => ms / this.#every);
  }

  /** That of the coordinator's workers, and of the workers of all nodes. None of local steps, of which a round has several. */
  override async timeline(): Promise<readonly NodeStep[]> {
    if (this.#every > 1) return [];
    const own = await super.timeline();
    const first = own.at(0)?.step ?? 0;
    const last = own.at(-1)?.step ?? -1;
    const nodes = await this.#fleet.look(this.#nodes, this.#run, first, last);
    return [
      ...own.map((step) => withRound(step, this.#rounds.get(step.step))),
      ...nodes.flatMap(({ steps, rounds }, i) => stepsOfNode(i + 1, steps, rounds)),
    ].sort((a, b) => a.step - b.step);
  }
}

/** Where nodes have not come: what it means here. */
function withoutAnswer(error: unknown, { nodes }: Point, joinMs: number): unknown {
  if (!(error instanceof LockstepError) || error.code !== 'E_QUORUM') return error;
  return new LockstepError('E_QUORUM', {
    where: `--nodes ${nodes}`,
    expected: `${nodes} node processes that load the job and join within ${joinMs / 1000} s`,
    got: `${error.detail.got}: the others do not answer`,
    fix: 'see whether the job loads by itself (lockstep check), or leave --nodes out',
    cause: error,
  });
}

function withRound(step: NodeStep, round: RoundTimes | undefined): NodeStep {
  return round ? { ...step, round } : step;
}

/** Steps of a node that the next one follows. */
function stepsOfNode(node: number, steps: readonly WorkerStep[], rounds: readonly RoundTimes[]): NodeStep[] {
  const byStep = new Map(rounds.map((round) => [round.step, round]));
  return steps.flatMap((step): NodeStep[] => {
    const [round, next] = [byStep.get(step.step), byStep.get(step.step + 1)];
    if (!round || !next) return [];
    return [{ ...step, node, round, periodMs: next.spans[0].start - round.spans[0].start }];
  });
}
