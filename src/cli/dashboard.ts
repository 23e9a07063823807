import { once } from 'node:events';
import { basename, resolve } from 'node:path';
import { type Dashboard, openDashboard } from '../dashboard/dashboard.ts';
import { DEFAULT_PORT } from '../dashboard/server.ts';
import { LockstepError } from '../errors.ts';
import type { Io } from './io.ts';

/** What `--dashboard [port]` gives: the port, or true. */
export type DashboardOption = number | true | undefined;

/** Opens the page where `--dashboard` asks for it, and says where it is. */
export async function dashboardFor(option: DashboardOption, title: string, io: Io): Promise<Dashboard | undefined> {
  if (option === undefined) return undefined;
  const port = option === true ? DEFAULT_PORT : option;
  const page = await openDashboard({ port, title });
  sayWhere(page, port, io);
  return page;
}

/** `lockstep dashboard <run folders>`: runs that are over, or go on elsewhere, on one page until Ctrl-C. */
export async function dashboardCommand(folders: readonly string[], options: { port?: number }, io: Io): Promise<void> {
  if (folders.length === 0) {
    throw new LockstepError('E_OPTION', {
      where: 'lockstep dashboard',
      expected: 'the folder of a run, or of several',
      got: 'none',
      fix: '`lockstep runs` lists those that are here',
    });
  }
  const { openFolders } = await import('../dashboard/folders.ts');
  const title = folders.length === 1 ? basename(resolve(folders[0])) : `${folders.length} runs`;
  const wanted = options.port ?? DEFAULT_PORT;
  const page = await openDashboard({ port: wanted, title });
  try {
    const opened = await openFolders(page.board, folders, () => sayWhere(page, wanted, io));
    try {
      const { damagedLines } = opened;
      if (damagedLines > 0)
        io.progress.write(`note: ${damagedLines} damaged ${damagedLines === 1 ? 'line' : 'lines'} passed over\n`);
      if (!io.stop.aborted) await once(io.stop, 'abort');
    } finally {
      await opened.close();
    }
  } finally {
    await page.close();
  }
}

function sayWhere(page: Dashboard, wanted: number, io: Io): void {
  if (wanted !== 0 && page.port !== wanted)
    io.progress.write(`note: port ${wanted} is in use, the dashboard took ${page.port}\n`);
  io.progress.write(`dashboard: ${page.url}\n`);
}
