import { basename, resolve } from 'node:path';
import { runOwner } from '../checkpoint/lock.ts';
import { MetricsFile } from '../record/metrics-file.ts';
import type { Board } from './board.ts';
import type { RunView } from './run-view.ts';

/** How often a run that still goes on is looked at. */
const FOLLOW_MS = 500;

export interface OpenFolders {
  /** Lines of all files that could not be read. */
  readonly damagedLines: number;
  close(): Promise<void>;
}

/** Shows run folders on a board: what is in them, and what comes while their runs go on. @throws E_RUN_DIR for a folder without records. */
export async function openFolders(board: Board, folders: readonly string[]): Promise<OpenFolders> {
  const opened: { folder: string; run: RunView; file: MetricsFile }[] = [];
  const close = async () => {
    for (const { file } of opened) await file.close();
  };
  try {
    for (const [i, folder] of folders.entries()) {
      const name = distinctName(folder, i, folders);
      const run = board.addRun({ name, totalSteps: 0, stepsPerEpoch: 1, metrics: [] });
      opened.push({ folder, run, file: await MetricsFile.open(folder, run) });
    }
    for (const one of opened) {
      one.run.quiet = true;
      await read(one);
      one.run.quiet = false;
    }
  } catch (error) {
    await close();
    throw error;
  }
  for (const { run } of opened) board.announce(run);

  async function read({ folder, run, file }: (typeof opened)[number]): Promise<void> {
    await file.readMore();
    run.damagedLines = file.damaged;
    if (run.state === 'running' && runOwner(folder) === undefined) {
      await file.readMore(); // it may have ended in between
      if (run.state === 'running') run.state = 'interrupted';
    }
  }

  let reading = Promise.resolve();
  const timer = setInterval(() => {
    const going = opened.filter(({ run }) => run.state === 'running' || run.state === 'paused');
    for (const one of going) reading = reading.then(() => read(one)).catch(() => undefined);
  }, FOLLOW_MS);
  return {
    get damagedLines() {
      return opened.reduce((sum, { run }) => sum + run.damagedLines, 0);
    },
    async close() {
      clearInterval(timer);
      await reading;
      await close();
    },
  };
}

/** The name of the folder, or its path where several have that name. */
function distinctName(folder: string, at: number, folders: readonly string[]): string {
  const name = basename(resolve(folder));
  return folders.some((other, i) => i !== at && basename(resolve(other)) === name) ? folder : name;
}
