import type { Dashboard } from '../dashboard/dashboard.ts';
import type { Job } from '../train/job.ts';
import type { TrainOptions } from '../train/options.ts';
import { coordinatorOptions, type ListenCommandOptions, nodeWords, tokenOf } from './cluster-options.ts';
import type { Io } from './io.ts';
import { loadJob } from './load-job.ts';
import { showNodes } from './node-table.ts';
import { jobWords } from './options.ts';
import { commandLine, resumeAsGiven, type TrainCommandOptions, trainLoaded } from './train.ts';

export interface CoordinatorCommandOptions extends TrainCommandOptions, ListenCommandOptions {}

/** `lockstep coordinator <job>`: listens, and trains with the nodes that come. */
export async function coordinatorCommand(
  path: string,
  options: CoordinatorCommandOptions,
  io: Io,
  args: readonly string[],
): Promise<void> {
  const { runCoordinator } = await import('../../cluster/index.ts');
  const loaded = await loadJob(path);
  const token = tokenOf(options);
  const coordinate = (job: Job, train: TrainOptions, page: Dashboard | undefined) => {
    const note = (text: string) => train.onProgress?.({ kind: 'note', text });
    return runCoordinator(job, {
      ...train,
      ...coordinatorOptions(options),
      token,
      onListening: ({ url }) => note(`listening; on each machine: ${nodeCommand(url, path, options)}`),
      ...(page && showNodes(page)),
    });
  };
  await trainLoaded(coordinate, loaded, path, options, io, (runDir) => resumeAsGiven(args, runDir));
}

/** What a node of the run is started with, but for its own options. */
function nodeCommand(url: string, path: string, options: CoordinatorCommandOptions): string {
  return commandLine(['node', url, path, ...jobWords(options), ...nodeWords(options)]);
}
