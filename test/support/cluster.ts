import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Job, TrainResult } from 'lockstep';
import { type CoordinatorOptions, type NodeOptions, runCoordinator, runNode } from 'lockstep/cluster';
import { payloadOf, type WireFrame } from '../../cluster/faults/websocket-stream.ts';
import { decodeFrame } from '../../cluster/frames.ts';
import { fixtureUrl } from './fixture.ts';

/** What a process or a run has said: an event of coordinator or node, the result, an error. */
export type Said = { readonly kind: string } & Readonly<Record<string, unknown>>;

/** Events as they come, and waiting for them. */
export class Heard {
  readonly events: Said[] = [];
  #waiting: (() => void)[] = [];
  #over = false;

  add(event: Said): void {
    this.events.push(event);
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Nothing will come any more. */
  end(): void {
    this.#over = true;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** The first event from number `from` on that is wanted. */
  async first(wanted: (event: Said) => boolean, from = 0): Promise<Said> {
    for (;;) {
      const found = this.events.slice(from).find(wanted);
      if (found) return found;
      if (this.#over) throw new Error(`it never came; what came: ${JSON.stringify(this.events.slice(-5))}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

export interface ClusterProcess {
  readonly child: ChildProcess;
  readonly heard: Heard;
  /** What stood on standard error. */
  errors(): string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

/** Every process that a test has started and that lives. */
const living = new Set<ChildProcess>();

/** Ends what a test has left running, if it failed. */
export async function endProcesses(): Promise<void> {
  for (const child of living) child.kill('SIGKILL');
  await Promise.all([...living].map((child) => new Promise((resolve) => child.once('close', resolve))));
}

export const livingProcesses = (): number => living.size;

/**
 * A coordinator or node as a process. `prefix`: a command that runs it (`ip netns exec name`); `shell`: what the shell does before.
 */
export function startProcess(
  role: 'coordinator' | 'node',
  options: object,
  { env = {}, prefix = [], shell = '' }: { env?: NodeJS.ProcessEnv; prefix?: readonly string[]; shell?: string } = {},
): ClusterProcess {
  const script = fileURLToPath(fixtureUrl('cluster-process'));
  const command = [...prefix, process.execPath, script, role, JSON.stringify(options)];
  const child = spawn('sh', ['-c', `${shell}exec "$@"`, 'sh', ...command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  living.add(child);
  const heard = new Heard();
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    errors += text;
  });
  createInterface(child.stdout).on('line', (line) => heard.add(JSON.parse(line)));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      living.delete(child);
      heard.end();
      resolve({ code, signal });
    });
  });
  return { child, heard, errors: () => errors, exited };
}

/** The type of a message of ours on its way, and its header. */
export function headerOf(message: readonly WireFrame[]): { readonly type: string } & Readonly<Record<string, unknown>> {
  return decodeFrame(Buffer.concat(message.map(payloadOf))).header as { type: string };
}

export const ofType = (type: string) => (message: readonly WireFrame[]) => headerOf(message).type === type;

/** A coordinator in this process, whose run waits at every evaluation until `gate` lets it go on. */
export interface GatedRun {
  readonly heard: Heard;
  readonly result: Promise<TrainResult>;
  readonly port: number;
  /** Names of the nodes that take part now. */
  members(): string[];
}

export async function startGated(
  job: Job,
  options: CoordinatorOptions,
  gate: (evaluation: number, run: GatedRun) => Promise<void>,
): Promise<GatedRun> {
  const heard = new Heard();
  const members = new Set<string>();
  let evaluation = 0;
  let ready: (run: GatedRun) => void = () => undefined;
  const started = new Promise<GatedRun>((resolve) => {
    ready = resolve;
  });
  const onEvaluation = async () => gate(evaluation++, await started);
  const result = runCoordinator({ ...job, callbacks: { onEvaluation } } as Job, {
    port: 0,
    workers: 1,
    ...options,
    onListening: ({ port }) => ready({ heard, result, port, members: () => [...members] }),
    onEvent: (event) => {
      if (event.kind === 'joined') members.add(event.node.name);
      if (event.kind === 'left') members.delete(event.node.name);
      heard.add(event as Said);
    },
  });
  void result.catch(() => undefined).finally(() => heard.end());
  return Promise.race([started, result.then(() => Promise.reject(new Error('it ended before it listened')))]);
}

/** Waits until a node of this name takes part. */
export async function present(run: GatedRun, name: string): Promise<void> {
  while (!run.members().includes(name)) {
    const from = run.heard.events.length;
    if (run.members().includes(name)) return;
    await run.heard.first((event) => event.kind === 'joined', from);
  }
}

/** Waits until no node of this name takes part. */
export async function absent(run: GatedRun, name: string): Promise<void> {
  while (run.members().includes(name)) {
    await run.heard.first(({ kind }) => kind === 'left', run.heard.events.length);
  }
}

/** A node in this process. */
export function startNode(job: Job, options: NodeOptions): ReturnType<typeof runNode> {
  const running = runNode(job, { workers: 1, ...options });
  running.catch(() => undefined);
  return running;
}
