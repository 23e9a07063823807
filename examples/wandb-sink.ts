/**
 * A sink of your own in 20 lines: sends a run to Weights & Biases (npm install @wandb/sdk; wandb login). Use it so:
 *
 *   await train(job, { sinks: [wandbSink('my-project')], onProgress: terminal() });
 */
import type { Sink } from 'lockstep';

export function wandbSink(project: string, load: () => Promise<Wandb> = importWandb): Sink {
  let run: WandbRun | undefined;
  return {
    name: 'wandb',
    async open(header) {
      run = await (await load()).init({ project, config: header });
    },
    async write(records) {
      for (const record of records) {
        const { kind, step } = record;
        if (kind === 'step') run?.log({ loss: record.loss, ...record.metrics, lr: record.lr }, { step });
        else if (kind === 'evaluation') run?.log(record.metrics, { step });
      }
    },
    close: () => run?.finish(),
  };
}

/** What is used of the package; it is loaded when the run begins, and nothing but this sink is lost without it. */
interface WandbRun {
  log(values: Record<string, number>, options: { step: number }): void;
  finish(): Promise<void>;
}
interface Wandb {
  init(options: { project: string; config: unknown }): Promise<WandbRun>;
}
const importWandb = (name = '@wandb/sdk'): Promise<Wandb> => import(name);
