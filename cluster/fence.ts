import { crc32 } from 'node:zlib';
import { z } from 'zod';
import { LockstepError } from '../src/errors.ts';

/**
 * What a coordinator must not forget, for no checkpoint has it: that it started (the fencing epoch, which every frame carries, so that
 * nobody obeys a predecessor), and after which step somebody wants the run to end. Everything else of a run is a function of job
 * and checkpoint, and is replayed.
 *
 * A record is one line: eight hexadecimal digits of CRC-32, a space, JSON. It is durable before anybody acts on it (fence-log.ts).
 */
const RECORD = z.discriminatedUnion('kind', [
  /** A coordinator has started; the epochs of a run folder count 1, 2, 3 ... */
  z.strictObject({ kind: z.literal('start'), fence: z.int().min(1), at: z.iso.datetime() }),
  /** The run is to end after this step, however often it is restarted before. The lowest holds. */
  z.strictObject({ kind: z.literal('limit'), step: z.int().min(0), at: z.iso.datetime() }),
  /** The run has ended so and its checkpoint is durable: who resumes it now wants it to go on. */
  z.strictObject({ kind: z.literal('end'), step: z.int().min(0), at: z.iso.datetime() }),
]);
export type FenceRecord = z.output<typeof RECORD>;

export interface FenceState {
  /** Of the last coordinator that started; 0: none has. */
  readonly fence: number;
  /** After which step the run is to end by somebody's wish; undefined: when the job says. */
  readonly limit: number | undefined;
}

const LINE_END = 10;

export function encodeRecord(record: FenceRecord): Uint8Array {
  const json = JSON.stringify(record);
  return Buffer.from(`${checksum(json)} ${json}\n`);
}

/**
 * Reads a log. What stands behind the last line end is a record that a killed process or a full disk left torn: nobody has acted on it.
 *
 * @param where names the file in messages.
 * @returns the records, and the bytes that hold them.
 * @throws E_RUN_DIR for a whole record that is not what was written: without it an epoch could be given twice.
 */
export function decodeRecords(bytes: Uint8Array, where: string): { records: FenceRecord[]; whole: number } {
  const records: FenceRecord[] = [];
  let whole = 0;
  for (;;) {
    const end = bytes.indexOf(LINE_END, whole);
    if (end < 0) return { records, whole };
    records.push(decodeLine(bytes.subarray(whole, end), `${where}, line ${records.length + 1}`, fenceOf(records)));
    whole = end + 1;
  }
}

export function fenceState(records: readonly FenceRecord[]): FenceState {
  let limit: number | undefined;
  for (const record of records) {
    if (record.kind === 'limit') limit = Math.min(limit ?? record.step, record.step);
    if (record.kind === 'end') limit = undefined;
  }
  return { fence: fenceOf(records), limit };
}

function fenceOf(records: readonly FenceRecord[]): number {
  const start = records.findLast((record) => record.kind === 'start');
  return start?.kind === 'start' ? start.fence : 0;
}

function decodeLine(line: Uint8Array, where: string, fence: number): FenceRecord {
  const text = Buffer.from(line).toString();
  const json = text.slice(9);
  const sum = text.slice(0, 9);
  if (sum !== `${checksum(json)} `) throw damagedLog(where, `the checksum ${checksum(json)}`, JSON.stringify(sum));
  const parsed = RECORD.safeParse(parseJson(json));
  if (!parsed.success) throw damagedLog(where, 'a record of this version', z.prettifyError(parsed.error));
  const record = parsed.data;
  if (record.kind === 'start' && record.fence !== fence + 1) {
    throw damagedLog(where, `fencing epoch ${fence + 1}`, String(record.fence));
  }
  if (record.kind !== 'start' && fence === 0) throw damagedLog(where, 'the start of a coordinator', record.kind);
  return record;
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

function damagedLog(where: string, expected: string, got: string): LockstepError {
  return new LockstepError('E_RUN_DIR', {
    where,
    expected,
    got,
    fix: 'the file is damaged: end every node of this run, then delete it; a stop that was asked for has to be asked for again',
  });
}
