import { randomUUID } from 'node:crypto';
import {
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { kill } from 'node:process';
import { z } from 'zod';
import { LockstepError } from '../errors.ts';
import { isErrno } from './store-fs.ts';

/** Who holds a run folder. */
const OWNER = z.object({
  /** Tells this lock from any other. */
  id: z.string().regex(/^[\w-]{1,64}$/),
  pid: z.number().int().positive(),
  host: z.string(),
  /** When the lock was taken, ISO 8601. */
  startedAt: z.string(),
  /** When the process began, as the system counts it; '' where it does not say. Tells a reused pid. */
  process: z.string(),
});
export type LockOwner = z.output<typeof OWNER>;

export const LOCK_FILE = 'lock.json';

/** A run folder that is ours until `release` or the end of the process. */
export interface RunLock {
  /** A line for the user where a dead process's lock was taken over. */
  readonly note?: string;
  /** Gives the folder up, and removes it if this lock made it and nothing else is in it; a second call does nothing. */
  release(): void;
}

/**
 * Takes a run folder for this process, creating it if need be: two runs that write one folder would destroy each other's
 * checkpoints. The lock file appears complete or not at all (a link to a finished file), and only the holder of a second lock,
 * named after the dead owner's id, may replace it: of several processes one gets it.
 *
 * @throws E_RUN_DIR naming the owner if it lives, or if it runs on another host, where that cannot be known.
 */
export function lockRunDir(runDir: string): RunLock {
  try {
    const made = mkdirSync(runDir, { recursive: true });
    const lock = acquire(join(runDir, LOCK_FILE));
    removeAbandoned(runDir);
    if (made === undefined) return lock;
    const release = () => {
      lock.release();
      removeEmpty(runDir, made);
    };
    return { ...lock, release };
  } catch (error) {
    if (error instanceof LockstepError) throw error;
    throw new LockstepError('E_RUN_DIR', {
      where: `run folder ${runDir}`,
      expected: 'a folder that can be written',
      got: error instanceof Error ? error.message : String(error),
      fix: 'choose another folder (--run-dir, runDir) or make room and grant the right to write',
      cause: error,
    });
  }
}

/** The living process that writes a run folder; undefined if there is none. */
export function runOwner(runDir: string): LockOwner | undefined {
  const owner = readOwner(join(runDir, LOCK_FILE));
  return typeof owner !== 'string' && isAlive(owner) ? owner : undefined;
}

/** Removes a folder and its parents up to `top` as long as nothing is in them. */
function removeEmpty(folder: string, top: string): void {
  try {
    for (let path = resolve(folder); ; path = dirname(path)) {
      rmdirSync(path);
      if (path === resolve(top)) return;
    }
  } catch {
    // something is in it, or it is gone
  }
}

/** Files of claimants that died while they claimed. */
function removeAbandoned(runDir: string): void {
  for (const name of readdirSync(runDir)) {
    if (!name.startsWith(`${LOCK_FILE}.`)) continue;
    const owner = readOwner(join(runDir, name));
    if (typeof owner !== 'string' && !isAlive(owner)) rmSync(join(runDir, name), { force: true });
  }
}

/** Enough for any crowd; ends what could otherwise only be a folder that changes under our hands for ever. */
const ATTEMPTS = 1000;

function acquire(path: string): RunLock {
  const self = ourselves();
  const ready = `${path}.${self.id}`;
  writeFileSync(ready, JSON.stringify(self), { flag: 'wx' });
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (create(ready, path)) return held(path, self.id);
      const owner = readOwner(path);
      if (owner === 'none') continue; // released a moment ago
      if (owner === 'unreadable' || isAlive(owner)) throw refusal(path, owner);
      const note = takeOver(ready, path, owner);
      if (note !== undefined) return held(path, self.id, note);
    }
    throw refusal(path, 'unreadable');
  } finally {
    rmSync(ready, { force: true });
  }
}

/** Replaces the lock of a dead owner, unless somebody has done so already. */
function takeOver(ready: string, path: string, dead: LockOwner): string | undefined {
  const guard = acquire(`${path}.${dead.id}.over`);
  try {
    const now = readOwner(path);
    if (typeof now === 'string' || now.id !== dead.id) return undefined;
    renameSync(ready, path);
    return `took over the run folder of process ${dead.pid}, which ended without giving it up (since ${dead.startedAt})`;
  } finally {
    guard.release();
  }
}

/** True if `path` was not there and now is, with all of its content. */
function create(ready: string, path: string): boolean {
  try {
    linkSync(ready, path);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    if (!isErrno(error, 'EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EACCES')) throw error;
  }
  try {
    // A file system without links (exFAT, some network shares): exclusive too, but empty for a moment.
    writeFileSync(path, readFileSync(ready), { flag: 'wx' });
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false;
    throw error;
  }
}

function held(path: string, id: string, note?: string): RunLock {
  const release = (): void => {
    process.off('exit', release);
    const owner = readOwner(path);
    if (typeof owner === 'string' || owner.id !== id) return;
    try {
      unlinkSync(path);
    } catch (error) {
      if (!isErrno(error, 'ENOENT', 'EROFS', 'EACCES', 'EPERM', 'EIO')) throw error;
    }
  };
  process.on('exit', release);
  return note === undefined ? { release } : { release, note };
}

function readOwner(path: string): LockOwner | 'none' | 'unreadable' {
  try {
    if (statSync(path).size > 65536) return 'unreadable';
    const parsed = OWNER.safeParse(JSON.parse(readFileSync(path, 'utf8')));
    return parsed.success ? parsed.data : 'unreadable';
  } catch (error) {
    return isErrno(error, 'ENOENT') ? 'none' : 'unreadable';
  }
}

function ourselves(): LockOwner {
  return {
    id: randomUUID(),
    pid: process.pid,
    host: hostname(),
    startedAt: new Date().toISOString(),
    process: processStart(process.pid),
  };
}

/** Whether the owner may still run. On another host: yes, for all we know. */
function isAlive(owner: LockOwner): boolean {
  if (owner.host !== hostname()) return true;
  try {
    kill(owner.pid, 0); // asks only; ends nobody
  } catch (error) {
    if (isErrno(error, 'ESRCH')) return false; // EPERM: there, but somebody else's
  }
  const now = processStart(owner.pid);
  return now === '' || owner.process === '' || now === owner.process;
}

/** Boot and start time of a process on Linux: field 22 of /proc/PID/stat, counted behind the name, which may hold spaces. */
function processStart(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return 'ended'; // a zombie writes nothing any more
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}/${fields[19]}`;
  } catch {
    return '';
  }
}

function refusal(path: string, owner: LockOwner | 'unreadable'): LockstepError {
  const got =
    owner === 'unreadable'
      ? 'a lock that cannot be read'
      : `process ${owner.pid} on ${owner.host} writes there since ${owner.startedAt}`;
  const elsewhere = typeof owner === 'string' || owner.host !== hostname();
  return new LockstepError('E_RUN_DIR', {
    where: `run folder, ${path}`,
    expected: 'a folder that no other run writes',
    got,
    fix: elsewhere
      ? 'choose another folder (--run-dir), or delete the lock file if you know that the run has ended'
      : 'choose another folder (--run-dir), or end that run first',
  });
}
