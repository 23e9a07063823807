/** Runs of a coordinator in this process and node processes beside it, for the bench. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { runCoordinator } from '../../cluster/index.ts';
import type { Job } from '../../src/index.ts';
import { threadCpuSeconds } from '../../src/parallel/cpu-time.ts';
import type { TrainResult } from '../../src/train/options.ts';
import type { NodeReport, NodeSetup } from './cluster-node.ts';
import { script } from './peers.ts';

export interface Wire {
  readonly cpuNsPerParameterAndNode: number;
  readonly parameters: number;
  readonly bytesPerParameterAndNode: number;
}

export class ClusterRuns {
  /** Of the last run. */
  wire: Wire | undefined;
  readonly #setup: Pick<NodeSetup, 'model' | 'input' | 'target' | 'folder'>;

  constructor(setup: Pick<NodeSetup, 'model' | 'input' | 'target' | 'folder'>) {
    this.#setup = setup;
  }

  async train(job: Job, nodes: number, shape: Pick<NodeSetup, 'batch' | 'shards' | 'steps'>): Promise<TrainResult> {
    const children: ChildProcess[] = [];
    const outputs: Promise<string>[] = [];
    let cpu = 0;
    let first = true;
    try {
      const result = await runCoordinator(job, {
        port: 0,
        workers: nodes,
        minNodes: nodes,
        onListening: ({ url }) => {
          const { model, input, target, folder } = this.#setup;
          const setup: NodeSetup = { model, input, target, folder, ...shape, url };
          for (let i = 0; i < nodes; i++) {
            const { command, args } = script('node', 'cluster-node.ts', [JSON.stringify(setup)], {});
            const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
            children.push(child);
            outputs.push(textOf(child));
          }
        },
        onProgress: (event) => {
          if (event.kind === 'steps' && first) {
            first = false;
            cpu = threadCpuSeconds();
          }
        },
      });
      cpu = threadCpuSeconds() - cpu;
      const reports = (await Promise.all(outputs)).map((text) => JSON.parse(text) as NodeReport);
      const parameters = Object.values(result.parameters).reduce((sum, { data }) => sum + data.length, 0);
      const seconds = cpu + reports.reduce((sum, report) => sum + report.mainCpuSeconds, 0);
      const per = result.step * parameters * nodes;
      const bytes = reports.reduce((sum, report) => sum + report.bytes, 0);
      this.wire = {
        cpuNsPerParameterAndNode: (1e9 * seconds) / per,
        parameters,
        bytesPerParameterAndNode: bytes / per,
      };
      return result;
    } finally {
      for (const child of children) if (child.exitCode === null) child.kill();
    }
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
