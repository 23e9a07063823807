/** A node of one worker for the bench: `cluster-node.ts '{"url": ...}'`. Prints a NodeReport as JSON when the run is over. */
import { readFileSync } from 'node:fs';
import { runNode } from '../../cluster/index.ts';
import { workloadJob } from '../../src/scaling/models.ts';
import type { Workload } from '../../src/scaling/workloads.ts';

export interface NodeSetup extends Pick<Workload, 'model' | 'input' | 'target'> {
  readonly url: string;
  /** Where the bench has written the rows. */
  readonly folder: string;
  readonly batch: number;
  readonly shards?: number | undefined;
  readonly steps: number;
}

export interface NodeReport {
  /** CPU time of the main thread from the first shards to the end. */
  readonly mainCpuSeconds: number;
  /** Sent and received. */
  readonly bytes: number;
}

const { url, folder, batch, shards, steps, ...workload } = JSON.parse(process.argv[2]) as NodeSetup;
const x = shared(`${folder}/x.${workload.input.dtype}`);
const rows = {
  x: workload.input.dtype === 'f32' ? new Float32Array(x) : new Int32Array(x),
  y: new Int32Array(shared(`${folder}/y.i32`)),
};
const { mainCpuSeconds, bytesSent, bytesReceived } = await runNode(
  workloadJob(workload, rows, { batch, steps, shards }),
  {
    url,
    workers: 1,
  },
);
const report: NodeReport = { mainCpuSeconds, bytes: bytesSent + bytesReceived };
process.stdout.write(JSON.stringify(report));

function shared(path: string): SharedArrayBuffer {
  const bytes = readFileSync(path);
  const buffer = new SharedArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  return buffer;
}
