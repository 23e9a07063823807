import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LOCK_FILE, lockRunDir } from '../../src/checkpoint/lock.ts';
import { LockstepError } from '../../src/errors.ts';
import { Child } from './child.ts';

let runDir: string;
const children: Child[] = [];
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'lockstep-lock-'));
});
afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.end('SIGKILL')));
  rmSync(runDir, { recursive: true, force: true });
});

/** A process that is about to take the lock. */
async function claimant(): Promise<Child> {
  const child = new Child('lock-holder', [runDir]);
  children.push(child);
  expect(await child.line()).toBe('ready');
  return child;
}

async function claim(child: Child): Promise<string> {
  child.write('go\n');
  return (await child.line()) ?? 'ended';
}

/** A lock file of whoever. */
function forgeLock(owner: Record<string, unknown> | string): void {
  const text = typeof owner === 'string' ? owner : JSON.stringify(owner);
  writeFileSync(join(runDir, LOCK_FILE), text);
}

const dead = { id: 'dead', pid: 2 ** 22 + 5, host: hostname(), startedAt: '2026-01-01T00:00:00.000Z', process: 'x/1' };

describe('the lock of a run folder', () => {
  it('is held by one, also within a process, until it is released', () => {
    const folder = join(runDir, 'a', 'b');
    mkdirSync(folder, { recursive: true });
    const lock = lockRunDir(folder);
    expect(lock.note).toBeUndefined();
    expect(() => lockRunDir(folder)).toThrow(new RegExp(`process ${process.pid} on `));
    expect(readdirSync(folder)).toEqual([LOCK_FILE]);
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
    lock.release();
    const again = lockRunDir(folder);
    lock.release(); // the lock of another holder by now
    expect(readdirSync(folder)).toEqual([LOCK_FILE]);
    again.release();
  });

  it('takes folders that it made away again, unless something is in them', () => {
    const folder = join(runDir, 'c', 'd');
    lockRunDir(folder).release();
    expect(readdirSync(runDir)).toEqual([]);
    const lock = lockRunDir(folder);
    writeFileSync(join(folder, 'metrics.jsonl'), '');
    lock.release();
    expect(readdirSync(folder)).toEqual(['metrics.jsonl']);
  });

  it('is refused to others while its process lives, given up when that ends, taken over when it was killed', async () => {
    const [first, second, third] = await Promise.all([claimant(), claimant(), claimant()]);
    expect(await claim(first)).toBe('held');
    const refused = await claim(second);
    expect(refused).toMatch(/^E_RUN_DIR /);
    expect(refused).toContain(`process ${first.process.pid} on ${hostname()}`);
    await first.end('stdin');
    expect(existsSync(join(runDir, LOCK_FILE))).toBe(false);

    expect(await claim(second)).toBe('held'); // a second try in the same process
    await second.end('SIGKILL');
    expect(existsSync(join(runDir, LOCK_FILE))).toBe(true);
    expect(await claim(third)).toMatch(new RegExp(`^held: took over .* process ${second.process.pid},`));
    expect(readdirSync(runDir)).toEqual([LOCK_FILE]);
  });

  it('goes to exactly one of many that find a dead one at the same time', async () => {
    const crowd = await Promise.all(Array.from({ length: 4 }, claimant));
    for (let round = 0; round < 10; round++) {
      forgeLock({ ...dead, id: `dead-${round}` });
      const answers = await Promise.all(crowd.map(claim));
      expect(answers.filter((answer) => answer.startsWith('held: took over'))).toHaveLength(1);
      expect(answers.filter((answer) => answer.startsWith('E_RUN_DIR'))).toHaveLength(3);
      expect(readdirSync(runDir)).toEqual([LOCK_FILE]);
    }
  });

  it('of a pid that another process has now is taken over', () => {
    forgeLock({ ...dead, pid: process.pid, process: 'another boot/1' });
    const lock = lockRunDir(runDir);
    if (process.platform === 'linux') expect(lock.note).toMatch(/took over/);
    lock.release();
  });

  it('of another host is refused: nobody can know', () => {
    forgeLock({ ...dead, host: 'elsewhere.example' });
    expect(() => lockRunDir(runDir)).toThrow(/process \d+ on elsewhere\.example .*delete the lock file/);
  });

  it.each(['', 'no JSON', '{}', '{"id":"../../x","pid":1}', '[]'])(
    'of content %j is refused and left alone',
    (content) => {
      forgeLock(content);
      expect(() => lockRunDir(runDir)).toThrow(/a lock that cannot be read/);
      expect(readFileSync(join(runDir, LOCK_FILE), 'utf8')).toBe(content);
      expect(readdirSync(runDir)).toEqual([LOCK_FILE]);
    },
  );

  it('takes over the guard of a process that died while it took over', () => {
    forgeLock(dead);
    writeFileSync(join(runDir, `${LOCK_FILE}.dead.over`), JSON.stringify({ ...dead, id: 'dead-too' }));
    writeFileSync(join(runDir, `${LOCK_FILE}.dead-three`), JSON.stringify({ ...dead, id: 'dead-three' }));
    const lock = lockRunDir(runDir);
    expect(lock.note).toMatch(/took over/);
    expect(readdirSync(runDir)).toEqual([LOCK_FILE]);
    lock.release();
  });

  it('in a place that cannot be a folder is E_RUN_DIR', () => {
    const file = join(runDir, 'file');
    writeFileSync(file, '');
    expect(() => lockRunDir(file)).toThrow(LockstepError);
    expect(() => lockRunDir(join(file, 'below'))).toThrow(/a folder that can be written/);
  });
});
