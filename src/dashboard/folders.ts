import { basename, resolve } from 'node:path';
import { runOwner } from '../checkpoint/lock.ts';
import { MetricsFile } from '../record/metrics-file.ts';
import type { Board } from './board.ts';
import type { RunView } from './run-view.ts';

/** How often it is looked whether a run goes on. */
const FOLLOW_MS = 500;

export interface OpenFolders {
  /** Lines of all files that could not be read. */
  readonly damagedLines: number;
  /** Reads what has come. Done by itself now and then. */
  follow(): Promise<void>;
  close(): Promise<void>;
}

interface OpenFolder {
  readonly folder: string;
  readonly run: RunView;
  readonly file: MetricsFile;
}

/**
 * Shows run folders on a board: what is in them, and what comes while their runs go on, or when they are resumed.
 *
 * @param onFound all are there, and will now be read: a browser may be started meanwhile.
 * @throws E_RUN_DIR for a folder without records.
 */
export async function openFolders(
  board: Board,
  folders: readonly string[],
  onFound: () => void = () => undefined,
): Promise<OpenFolders> {
  const opened: OpenFolder[] = [];
  const close = async () => {
    for (const { file } of opened) await file.close();
  };
  try {
    for (const [i, folder] of folders.entries()) {
      const name = distinctName(folder, i, folders);
      const run = board.addRun({ name, totalSteps: 0, metrics: [] });
      opened.push({ folder, run, file: await MetricsFile.open(folder, run) });
    }
    for (const { run } of opened) run.quiet = true;
    onFound();
    for (const one of opened) {
      await read(one);
      one.run.quiet = false;
      board.announce(one.run);
    }
  } catch (error) {
    await close();
    throw error;
  }
  let reading: Promise<void> | undefined;
  const follow = (): Promise<void> => {
    reading ??= (async () => {
      // A folder that cannot be read for now does not hold up the others.
      for (const one of opened) await read(one).catch(() => undefined);
    })().finally(() => {
      reading = undefined;
    });
    return reading;
  };
  const timer = setInterval(follow, FOLLOW_MS);
  timer.unref();
  return {
    get damagedLines() {
      return opened.reduce((sum, { run }) => sum + run.damagedLines, 0);
    },
    follow,
    async close() {
      clearInterval(timer);
      await reading;
      await close();
    },
  };
}

async function read({ folder, run, file }: OpenFolder): Promise<void> {
  await file.readMore();
  if (isGoing(run) && runOwner(folder) === undefined) {
    await file.readMore(); // it may have ended in between
    if (isGoing(run)) run.state = 'interrupted';
  }
  run.damagedLines = file.damaged;
}

const isGoing = ({ state }: RunView): boolean => state === 'running' || state === 'paused';

/** The name of the folder, or its path where several have that name. */
function distinctName(folder: string, at: number, folders: readonly string[]): string {
  const name = basename(resolve(folder));
  return folders.some((other, i) => i !== at && basename(resolve(other)) === name) ? folder : name;
}
