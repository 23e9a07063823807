import { createHash, randomUUID } from 'node:crypto';
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { LockstepError } from '../../src/errors.ts';

/** What rank 0 tells the others through a file that only their user can read. */
const MEETING = z.strictObject({
  host: z.string().min(1).max(255),
  port: z.number().int().min(1).max(65_535),
  url: z.string().max(300),
  token: z.string(),
});
export type MeetingPoint = z.output<typeof MEETING>;

/** The file of a run, in a folder that all ranks share. */
export function meetingFile(folder: string, id: string): string {
  return join(folder, `.lockstep-join-${createHash('sha256').update(id).digest('hex').slice(0, 16)}.json`);
}

/** Appears complete, readable by its owner alone; the returned function takes it away. */
export async function publishMeeting(file: string, meeting: MeetingPoint): Promise<() => Promise<void>> {
  const ready = `${file}.${randomUUID()}`;
  try {
    await writeFile(ready, JSON.stringify(meeting), { mode: 0o600, flag: 'wx' });
    await rename(ready, file);
  } catch (error) {
    await rm(ready, { force: true });
    throw new LockstepError('E_PLACE', {
      where: file,
      expected: 'a folder in which rank 0 can tell the others its address',
      got: error instanceof Error ? error.message : String(error),
      fix: 'name one that all ranks share with --meet-in, or set MASTER_ADDR and MASTER_PORT',
      cause: error,
    });
  }
  return () => rm(file, { force: true });
}

export interface AwaitOptions {
  readonly deadlineMs: number;
  /** Network file systems tell nobody about new files, so the file is looked for this often. Default 200. */
  readonly pollMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Waits until the file is there and somebody listens at its address: a run that was killed may have left one behind.
 *
 * @throws E_UNREACHABLE after the deadline, E_ABORTED.
 */
export async function awaitMeeting(file: string, options: AwaitOptions): Promise<MeetingPoint> {
  const { deadlineMs, pollMs = 200, signal } = options;
  const end = performance.now() + deadlineMs;
  let found = false;
  while (performance.now() < end && !signal?.aborted) {
    const meeting = await readMeeting(file);
    found ||= meeting !== undefined;
    if (meeting && (await listens(meeting, pollMs * 10))) return meeting;
    await delay(pollMs, undefined, { signal }).catch(() => {});
  }
  throw new LockstepError(signal?.aborted ? 'E_ABORTED' : 'E_UNREACHABLE', {
    where: file,
    expected: 'the address of rank 0',
    got: found ? 'one where nobody listens' : `no such file for ${Math.round(deadlineMs / 1000)} s`,
    fix: 'look at rank 0; all ranks must share the folder (--meet-in), or set MASTER_ADDR and MASTER_PORT',
  });
}

async function readMeeting(file: string): Promise<MeetingPoint | undefined> {
  try {
    return MEETING.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch {
    return undefined; // not there yet
  }
}

function listens({ host, port }: Pick<MeetingPoint, 'host' | 'port'>, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(timeoutMs, () => end(false));
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}
