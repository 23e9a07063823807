import { LockstepError } from '../errors.ts';

/** What the head of an .npy file says (NumPy's `numpy.lib.format`, versions 1 to 3). */
export interface NpyHeader {
  readonly type: NpyType;
  readonly bigEndian: boolean;
  readonly fortran: boolean;
  /** Rows first. */
  readonly dims: readonly number[];
  /** Where the elements begin. */
  readonly headerBytes: number;
  readonly elements: number;
}

export interface NpyType {
  /** As NumPy names it. */
  readonly name: string;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly kind: 'float' | 'signed' | 'unsigned' | 'boolean';
}

const TYPES: Readonly<Record<string, NpyType>> = {
  f4: { name: 'float32', bytes: 4, kind: 'float' },
  f8: { name: 'float64', bytes: 8, kind: 'float' },
  i1: { name: 'int8', bytes: 1, kind: 'signed' },
  i2: { name: 'int16', bytes: 2, kind: 'signed' },
  i4: { name: 'int32', bytes: 4, kind: 'signed' },
  i8: { name: 'int64', bytes: 8, kind: 'signed' },
  u1: { name: 'uint8', bytes: 1, kind: 'unsigned' },
  u2: { name: 'uint16', bytes: 2, kind: 'unsigned' },
  u4: { name: 'uint32', bytes: 4, kind: 'unsigned' },
  b1: { name: 'bool', bytes: 1, kind: 'boolean' },
};

const MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59]; // \x93NUMPY
/** NumPy itself writes a few hundred bytes, and reads 10,000 at most. */
const MOST_HEADER_BYTES = 65_536;
const MOST_DIMENSIONS = 32; // NumPy's own limit
const MOST_ELEMENTS = 2 ** 40;

/**
 * The header in the first bytes of a file, or undefined while there are too few of them. `where` names the file.
 *
 * @throws E_DATA_FORMAT for what is no .npy file, E_DTYPE for element types that cannot be numbers here.
 */
export function parseNpyHeader(bytes: Uint8Array, where: string): NpyHeader | undefined {
  const wrong = (expected: string, got: string, fix = 'write it with numpy.save(file, array)') =>
    new LockstepError('E_DATA_FORMAT', { where, expected, got, fix });
  for (let i = 0; i < Math.min(bytes.length, MAGIC.length); i++) {
    if (bytes[i] !== MAGIC[i]) {
      const first = Buffer.from(bytes.subarray(0, 6)).toString('hex');
      throw wrong('a NumPy array (.npy, first bytes 0x934e554d5059)', `0x${first}`);
    }
  }
  if (bytes.length < 12) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[6];
  if (version < 1 || version > 3) throw wrong('version 1, 2 or 3 of the format', `version ${version}`);
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MOST_HEADER_BYTES) throw wrong(`a header of at most ${MOST_HEADER_BYTES} bytes`, `${length} bytes`);
  const begin = version === 1 ? 10 : 12;
  if (bytes.length < begin + length) return undefined;
  const text = Buffer.from(bytes.subarray(begin, begin + length)).toString(version === 3 ? 'utf8' : 'latin1');
  const { descr, fortran, shape } = parseDictionary(text, wrong);
  const type = TYPES[descr.slice(1)];
  if (!type || !/^[<>|=]/.test(descr)) throw typeError(descr, where);
  const dims = parseShape(shape, wrong);
  const elements = dims.reduce((a, b) => a * b, 1);
  if (elements > MOST_ELEMENTS) throw wrong('an array that a disk can hold', `shape (${dims.join(', ')})`);
  return { type, bigEndian: descr[0] === '>' && type.bytes > 1, fortran, dims, headerBytes: begin + length, elements };
}

type Wrong = (expected: string, got: string) => LockstepError;

/** `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`, a Python literal with exactly these keys in any order. */
function parseDictionary(text: string, wrong: Wrong): { descr: string; fortran: boolean; shape: string } {
  const found = new Map<string, string>();
  let rest = text.trim();
  const fail = () => wrong("a header {'descr': ..., 'fortran_order': ..., 'shape': ...}", JSON.stringify(short(text)));
  if (!rest.startsWith('{') || !rest.endsWith('}')) throw fail();
  rest = rest.slice(1, -1).trim();
  const entry =
    /^'(descr|fortran_order|shape)'\s*:\s*('[^']*'|"[^"]*"|True|False|\([\d\s,L]*\)|\[[^\]]*\])\s*(?:,\s*|$)/;
  while (rest !== '') {
    const match = entry.exec(rest);
    if (!match || found.has(match[1])) throw fail();
    found.set(match[1], match[2]);
    rest = rest.slice(match[0].length);
  }
  const descr = found.get('descr');
  const fortran = found.get('fortran_order');
  const shape = found.get('shape');
  if (descr === undefined || shape === undefined || (fortran !== 'True' && fortran !== 'False')) throw fail();
  return { descr: /^['"]/.test(descr) ? descr.slice(1, -1) : descr, fortran: fortran === 'True', shape };
}

function parseShape(text: string, wrong: Wrong): number[] {
  if (!text.startsWith('(')) throw wrong('a shape such as (60000, 28, 28)', JSON.stringify(short(text)));
  const parts = text
    .slice(1, -1)
    .split(',')
    .map((part) => part.trim().replace(/L$/, ''))
    .filter((part) => part !== '');
  const dims = parts.map(Number);
  const possible = parts.every((part) => /^\d+$/.test(part)) && dims.every(Number.isSafeInteger);
  if (!possible || dims.length > MOST_DIMENSIONS) {
    throw wrong(`at most ${MOST_DIMENSIONS} dimensions that are whole numbers`, JSON.stringify(short(text)));
  }
  return dims;
}

function typeError(descr: string, where: string): LockstepError {
  const object = descr.slice(1).startsWith('O');
  return new LockstepError('E_DTYPE', {
    where,
    expected: `an element type among ${Object.values(TYPES)
      .map((t) => t.name)
      .join(', ')}`,
    got: descr.startsWith('[') ? `a structured type ${short(descr)}` : JSON.stringify(short(descr)),
    fix: object
      ? 'an array of Python objects cannot be read without Python: convert it, array.astype(numpy.float32)'
      : 'convert it before saving: array.astype(numpy.float32)',
  });
}

function short(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
