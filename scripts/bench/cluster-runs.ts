/** Runs of a coordinator in this process and node processes beside it, for the bench. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { runCoordinator } from '../../cluster/index.ts';
import type { Job } from '../../src/index.ts';
import { threadCpuSeconds } from '../../src/parallel/cpu-time.ts';
import { KeptRun } from '../../src/scaling/kept-run.ts';
import type { NodeReport, NodeSetup } from './cluster-node.ts';
import { script } from './peers.ts';

export interface Wire {
  readonly cpuNsPerParameterAndNode: number;
  readonly parameters: number;
  readonly bytesPerParameterAndNode: number;
}

/** A coordinator here and node processes beside it, kept between slices. */
export class ClusterRun extends KeptRun {
  readonly #children: ChildProcess[];
  readonly #outputs: Promise<string>[];
  readonly #nodes: number;
  #parameters = 0;
  #steps = 0;
  /** CPU time of this main thread during slices; starting is left out. */
  #cpu = 0;

  constructor(job: Job, nodes: number, setup: Omit<NodeSetup, 'url'>) {
    const children: ChildProcess[] = [];
    const outputs: Promise<string>[] = [];
    const start: ConstructorParameters<typeof KeptRun>[0] = (more, onOpen) =>
      runCoordinator(
        job,
        {
          ...more,
          port: 0,
          workers: nodes,
          minNodes: nodes,
          onListening: ({ url }) => {
            for (let i = 0; i < nodes; i++) {
              const { command, args } = script('node', 'cluster-node', [JSON.stringify({ ...setup, url })], {});
              const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
              children.push(child);
              outputs.push(textOf(child));
            }
          },
        },
        async (run, journal) => {
          this.#parameters = run.session.tensors.reduce((sum, { size }) => sum + size, 0);
          return onOpen(run, journal);
        },
      );
    super(start, setup.batch, 1 + nodes);
    this.#children = children;
    this.#outputs = outputs;
    this.#nodes = nodes;
  }

  override async run(steps: number): Promise<readonly number[]> {
    const before = threadCpuSeconds();
    const stepsMs = await super.run(steps);
    if (this.#steps > 0) this.#cpu += threadCpuSeconds() - before;
    this.#steps += steps;
    return stepsMs;
  }

  /** Ends the run; what its sockets cost, of all slices but the first. */
  async end(): Promise<Wire> {
    await super.close();
    const reports = (await Promise.all(this.#outputs)).map((text) => JSON.parse(text) as NodeReport);
    const seconds = this.#cpu + reports.reduce((sum, { mainCpuSeconds }) => sum + mainCpuSeconds, 0);
    const per = this.#steps * this.#parameters * this.#nodes;
    return {
      cpuNsPerParameterAndNode: (1e9 * seconds) / per,
      parameters: this.#parameters,
      bytesPerParameterAndNode: reports.reduce((sum, { bytes }) => sum + bytes, 0) / per,
    };
  }

  override async close(): Promise<void> {
    await super.close();
    for (const child of this.#children) if (child.exitCode === null) child.kill();
  }
}

async function textOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  await once(child, 'close');
  return text;
}
