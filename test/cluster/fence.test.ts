import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { LockstepError } from 'lockstep';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeRecords, encodeRecord, type FenceRecord, fenceState } from '../../cluster/fence.ts';
import { FENCE_FILE, type LogFs, nodeLogFs, openFenceLog, readFenceLog } from '../../cluster/fence-log.ts';

const at = '2026-01-31T23:59:59.000Z';
const history: FenceRecord[] = [
  { kind: 'start', fence: 1, at },
  { kind: 'limit', step: 500, at },
  { kind: 'limit', step: 900, at },
  { kind: 'start', fence: 2, at },
];
const encoded = (records: readonly FenceRecord[]) => Buffer.concat(records.map(encodeRecord));
const failure = (f: () => unknown) => {
  try {
    f();
  } catch (error) {
    return error as LockstepError;
  }
  return undefined;
};

describe('records of the fence', () => {
  it('are read as they were written', () => {
    const bytes = encoded(history);
    expect(decodeRecords(bytes, 'log')).toEqual({ records: history, whole: bytes.length });
    expect(fenceState(history)).toEqual({ fence: 2, limit: 500 });
    expect(fenceState([...history, { kind: 'end', step: 500, at }])).toEqual({ fence: 2, limit: undefined });
    expect(fenceState([])).toEqual({ fence: 0, limit: undefined });
  });

  it('begin with the CRC-32 of what follows, computed bit by bit', () => {
    for (const line of encoded(history).toString().trimEnd().split('\n')) {
      let crc = 0xffffffff;
      for (const byte of Buffer.from(line.slice(9))) {
        crc ^= byte;
        for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
      }
      expect(Number.parseInt(line.slice(0, 8), 16)).toBe(~crc >>> 0);
    }
  });

  it('that end in the middle of the last are those before it, wherever it was torn', () => {
    const bytes = encoded(history);
    const last = encodeRecord(history[3]).length;
    for (let cut = 1; cut <= last; cut++) {
      const torn = bytes.subarray(0, bytes.length - cut);
      expect(decodeRecords(torn, 'log')).toEqual({ records: history.slice(0, 3), whole: bytes.length - last });
      const zeros = Buffer.concat([torn, Buffer.alloc(cut)]); // the file has grown, its content never came
      expect(decodeRecords(zeros, 'log').records).toEqual(history.slice(0, 3));
    }
  });

  it('are refused when one bit of them has changed, or a record is missing, but for the end of the last', () => {
    const bytes = encoded(history);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 8 * bytes.length - 1 }), (bit) => {
        const other = Buffer.from(bytes);
        other[bit >> 3] ^= 1 << (bit & 7);
        if (bit >> 3 === bytes.length - 1) return decodeRecords(other, 'log').records.length === 3; // looks torn
        const error = failure(() => decodeRecords(other, 'run/fence.log'));
        return error instanceof LockstepError && error.code === 'E_RUN_DIR' && error.message.includes('run/fence.log, line');
      }),
      { numRuns: 500 },
    ); // biome-ignore format: a property
    const headless = failure(() => decodeRecords(encoded(history.slice(1)), 'log'));
    expect(headless?.message).toMatch(/^log, line 1: expected the start of a coordinator, got limit;/);
    const doubled = failure(() => decodeRecords(encoded([history[0], history[0]]), 'log'));
    expect(doubled?.message).toMatch(/^log, line 2: expected fencing epoch 2, got 1;/);
  });

  it('of another version are refused, not skipped', () => {
    const bytes = Buffer.concat([encoded(history), encodeRecord({ kind: 'pause', at } as unknown as FenceRecord)]);
    expect(failure(() => decodeRecords(bytes, 'log'))?.message).toMatch(
      /^log, line 5: expected a record of this version/,
    );
  });
});

describe('the log', () => {
  let runDir: string;
  let path: string;
  beforeEach(() => {
    runDir = mkdtempSync(join(tmpdir(), 'lockstep-fence-'));
    path = join(runDir, FENCE_FILE);
  });
  afterEach(() => rmSync(runDir, { recursive: true }));

  it('gives every coordinator an epoch of its own, and the limit that an earlier one was given', () => {
    for (let fence = 1; fence <= 5; fence++) {
      const log = openFenceLog(runDir);
      expect([log.fence, log.limit]).toEqual([fence, fence > 3 ? 70 : undefined]);
      if (fence === 3) {
        log.lower(70);
        log.lower(90);
        expect(log.limit).toBe(70);
      }
      if (fence !== 4) log.close(); // killed
    }
    expect(readFenceLog(runDir)).toEqual({ fence: 5, limit: 70 });
    const log = openFenceLog(runDir);
    log.end(70);
    log.close();
    log.close();
    expect(readFenceLog(runDir)).toEqual({ fence: 6, limit: undefined });
    expect(readFenceLog(join(runDir, 'other'))).toEqual({ fence: 0, limit: undefined });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('goes on behind a torn record as if it had never been', () => {
    openFenceLog(runDir).close();
    const whole = readFileSync(path);
    for (const torn of ['0', '00000000 {"kind":"limit","st', '\0'.repeat(100)]) {
      writeFileSync(path, whole);
      appendFileSync(path, torn);
      const log = openFenceLog(runDir);
      log.lower(3);
      log.close();
      expect(log.fence).toBe(2);
      expect(readFileSync(path).subarray(0, whole.length)).toEqual(whole);
      expect(readFileSync(path, 'utf8').split('\n')).toHaveLength(4);
    }
  });

  it('that is damaged gives no epoch and is left as it is', () => {
    openFenceLog(runDir).close();
    openFenceLog(runDir).close();
    const bytes = readFileSync(path);
    bytes[20] ^= 1;
    writeFileSync(path, bytes);
    expect(failure(() => openFenceLog(runDir))).toMatchObject({ code: 'E_RUN_DIR' });
    expect(readFileSync(path)).toEqual(bytes);
    truncateSync(path, 0);
    expect(openFenceLog(runDir).fence).toBe(1);
  });

  it('on a disk that becomes full keeps no half record, and goes on when there is room', () => {
    let room = 1000;
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const fs: LogFs = {
      ...nodeLogFs,
      append(file, bytes) {
        if (room === 0) throw full;
        const written = nodeLogFs.append(file, bytes.subarray(0, Math.min(room, 7, bytes.length)));
        room -= written;
        return written;
      },
    };
    const log = openFenceLog(runDir, fs);
    for (room of [0, 1, 30]) {
      expect(failure(() => log.lower(5))).toMatchObject({ code: 'E_RUN_DIR', message: expect.stringMatching(/no space left.*make room/) }); // biome-ignore format: a row
      expect([log.limit, readFenceLog(runDir).limit]).toEqual([undefined, undefined]);
    }
    room = 1000;
    log.lower(6);
    expect(readFenceLog(runDir)).toEqual({ fence: 1, limit: 6 });
    log.close();
    room = 10;
    expect(failure(() => openFenceLog(runDir, fs))).toMatchObject({ code: 'E_RUN_DIR' });
    expect(openFenceLog(runDir).fence).toBe(2);
  });

  it('trusts nothing after a failed fsync', () => {
    let broken = false;
    const log = openFenceLog(runDir, {
      ...nodeLogFs,
      sync(file) {
        if (broken) throw new Error('EIO: i/o error, fsync');
        nodeLogFs.sync(file);
      },
    });
    broken = true;
    expect(failure(() => log.lower(5))?.message).toMatch(/EIO/);
    broken = false;
    expect(failure(() => log.lower(5))?.message).toMatch(/EIO/);
    expect(log.limit).toBeUndefined();
    log.close();
  });

  it('leaves no file open, whatever fails', () => {
    for (const call of ['read', 'append', 'truncate', 'sync', 'syncFolder'] as const) {
      const files = new Set<number>();
      const fs: LogFs = {
        ...nodeLogFs,
        open: (p) => {
          const file = nodeLogFs.open(p);
          files.add(file);
          return file;
        },
        close: (file) => {
          files.delete(file);
          nodeLogFs.close(file);
        },
        [call]: () => {
          throw new Error(`${call} failed`);
        },
      };
      expect(failure(() => openFenceLog(runDir, fs))?.message).toContain(`${call} failed`);
      expect(files.size).toBe(0);
    }
    expect(failure(() => openFenceLog(join(runDir, 'not', 'there')))).toMatchObject({ code: 'E_RUN_DIR' });
  });
});
