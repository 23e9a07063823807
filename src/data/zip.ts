import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, type Readable, Transform } from 'node:stream';
import { crc32, createInflateRaw } from 'node:zlib';
import { LockstepError } from '../errors.ts';

/** A member of a zip archive (PKWARE's APPNOTE 6.3). */
export interface ZipMember {
  readonly name: string;
  /** 0 stored, 8 deflated. */
  readonly method: number;
  readonly compressedBytes: number;
  readonly bytes: number;
  readonly crc: number;
  /** Where its local header stands in the file. */
  readonly offset: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
const END_BYTES = 22;
/** A comment of up to 64 KiB may follow the end record. */
const MOST_TAIL = END_BYTES + 65_535;
const MOST_DIRECTORY = 16 * 1024 * 1024;
/** Deflate makes at most 1032 bytes of one: who says more wants memory for nothing. */
const MOST_RATIO = 1032;
const UNKNOWN = 0xffffffff;

/** The central directory of a zip archive. Reads the directory only. @throws E_DATA_FORMAT */
export async function readZipDirectory(file: string): Promise<ZipMember[]> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const end = await findEnd(handle, size, file);
    if (end.directoryBytes > MOST_DIRECTORY || end.offset + end.directoryBytes > size) {
      throw formatError(file, 'a directory inside the file', `${end.directoryBytes} bytes at ${end.offset} of ${size}`);
    }
    const directory = await read(handle, end.offset, end.directoryBytes, file);
    return parseDirectory(directory, end.entries, size, file);
  } finally {
    await handle.close();
  }
}

interface End {
  readonly entries: number;
  readonly directoryBytes: number;
  readonly offset: number;
}

async function findEnd(handle: FileHandle, size: number, file: string): Promise<End> {
  const tailBytes = Math.min(size, MOST_TAIL);
  const tail = await read(handle, size - tailBytes, tailBytes, file);
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END || at + END_BYTES + tail.readUInt16LE(at + 20) !== tail.length) continue;
    const locator = at - 20;
    if (locator >= 0 && tail.readUInt32LE(locator) === LOCATOR64) {
      const place = integer(tail.readBigUInt64LE(locator + 8), size, file);
      return parseEnd64(await read(handle, place, 56, file), size, file);
    }
    return {
      entries: tail.readUInt16LE(at + 10),
      directoryBytes: tail.readUInt32LE(at + 12),
      offset: tail.readUInt32LE(at + 16),
    };
  }
  throw formatError(file, 'a zip archive (.npz) with its directory at the end', 'none: not a zip, or truncated');
}

function parseEnd64(record: Buffer, size: number, file: string): End {
  if (record.readUInt32LE(0) !== END64) throw formatError(file, 'a zip64 end record', 'something else');
  return {
    entries: integer(record.readBigUInt64LE(32), size, file),
    directoryBytes: integer(record.readBigUInt64LE(40), size, file),
    offset: integer(record.readBigUInt64LE(48), size, file),
  };
}

function parseDirectory(directory: Buffer, entries: number, size: number, file: string): ZipMember[] {
  const members: ZipMember[] = [];
  let at = 0;
  for (let i = 0; i < entries; i++) {
    if (at + 46 > directory.length || directory.readUInt32LE(at) !== CENTRAL) {
      throw formatError(file, `${entries} entries in the directory`, `${i}`);
    }
    const nameBytes = directory.readUInt16LE(at + 28);
    const extraBytes = directory.readUInt16LE(at + 30);
    const end = at + 46 + nameBytes + extraBytes + directory.readUInt16LE(at + 32);
    if (end > directory.length) throw formatError(file, 'entries within the directory', 'one that leaves it');
    const name = directory.toString('utf8', at + 46, at + 46 + nameBytes);
    if (directory.readUInt16LE(at + 8) & 1) throw formatError(`${file}: ${name}`, 'a plain member', 'an encrypted one');
    const extra = directory.subarray(at + 46 + nameBytes, at + 46 + nameBytes + extraBytes);
    const [bytes, compressedBytes, offset] = wide(
      [directory.readUInt32LE(at + 24), directory.readUInt32LE(at + 20), directory.readUInt32LE(at + 42)],
      extra,
      file,
    );
    if (offset + compressedBytes > size)
      throw formatError(`${file}: ${name}`, 'a member inside the file', 'one that leaves it');
    if (bytes > MOST_RATIO * compressedBytes + 64) {
      throw formatError(
        `${file}: ${name}`,
        `at most ${MOST_RATIO} bytes of each compressed one`,
        `${bytes} of ${compressedBytes}`,
      );
    }
    members.push({
      name,
      method: directory.readUInt16LE(at + 10),
      compressedBytes,
      bytes,
      crc: directory.readUInt32LE(at + 16),
      offset,
    });
    at = end;
  }
  return members;
}

/** Sizes and offset, those that do not fit 32 bits from the zip64 extra field (id 1), in this order. */
function wide(values: readonly [number, number, number], extra: Buffer, file: string): [number, number, number] {
  const out: [number, number, number] = [...values];
  if (!out.includes(UNKNOWN)) return out;
  for (let at = 0; at + 4 <= extra.length; ) {
    const [id, bytes] = [extra.readUInt16LE(at), extra.readUInt16LE(at + 2)];
    let from = at + 4;
    at = from + bytes;
    if (id !== 1) continue;
    for (let i = 0; i < out.length; i++) {
      if (out[i] !== UNKNOWN) continue;
      if (from + 8 > Math.min(at, extra.length)) throw formatError(file, 'zip64 sizes', 'too few');
      out[i] = integer(extra.readBigUInt64LE(from), Number.MAX_SAFE_INTEGER, file);
      from += 8;
    }
  }
  return out;
}

function integer(value: bigint, most: number, file: string): number {
  if (value > BigInt(most)) throw formatError(file, `a number of at most ${most}`, String(value));
  return Number(value);
}

/**
 * The decompressed bytes of a member. Ends with E_DATA_FORMAT as soon as there are more than the directory says (a small file cannot
 * fill the memory), when there are fewer, or when the checksum is another.
 */
export async function openZipMember(
  file: string,
  member: ZipMember,
  signal: AbortSignal | undefined,
): Promise<Readable> {
  const where = `${file}: ${member.name}`;
  if (member.method !== 0 && member.method !== 8) {
    throw formatError(
      where,
      'a stored or deflated member',
      `compression method ${member.method}`,
      'write it with numpy.savez',
    );
  }
  const handle = await open(file, 'r');
  let begin: number;
  try {
    const local = await read(handle, member.offset, 30, file);
    if (local.readUInt32LE(0) !== LOCAL) throw formatError(where, 'a local header', 'something else');
    begin = member.offset + 30 + local.readUInt16LE(26) + local.readUInt16LE(28);
  } finally {
    await handle.close();
  }
  const check = checkedBytes(member, where);
  if (member.compressedBytes === 0) {
    check.end();
    return check;
  }
  const raw = createReadStream(file, { start: begin, end: begin + member.compressedBytes - 1, signal });
  const between = member.method === 0 ? [] : [createInflateRaw()];
  // Whoever reads `check` gets the error too.
  pipeline([raw, ...between, check], () => undefined);
  return check;
}

function checkedBytes({ bytes, crc }: ZipMember, where: string): Transform {
  let seen = 0;
  let sum = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      seen += chunk.length;
      sum = crc32(chunk, sum);
      if (seen > bytes) done(formatError(where, `${bytes} bytes, as the directory says`, 'more'));
      else done(null, chunk);
    },
    flush(done) {
      if (seen < bytes) done(formatError(where, `${bytes} bytes, as the directory says`, `${seen}: truncated`));
      else if (sum !== crc) done(formatError(where, `checksum ${hex(crc)}`, hex(sum)));
      else done();
    },
  });
}

const hex = (value: number): string => `0x${value.toString(16).padStart(8, '0')}`;

async function read(handle: FileHandle, at: number, length: number, file: string): Promise<Buffer> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, at);
  if (bytesRead < length) throw formatError(file, `${length} bytes at ${at}`, `${bytesRead}: truncated`);
  return buffer;
}

function formatError(
  where: string,
  expected: string,
  got: string,
  fix = 'fetch the file, or write it, again',
): LockstepError {
  return new LockstepError('E_DATA_FORMAT', { where, expected, got, fix });
}
