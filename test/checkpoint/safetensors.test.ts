import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeSafetensors,
  encodeSafetensors,
  f32Elements,
  type NamedTensor,
} from '../../src/checkpoint/safetensors.ts';
import { LockstepError } from '../../src/errors.ts';
import { parseSafetensors } from './parse-safetensors.ts';

const f32 = (name: string, shape: number[], values: readonly number[]): NamedTensor => ({
  name,
  dtype: 'F32',
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

/** A file with any header and any data. */
function forge(header: string | Uint8Array, data: Uint8Array | number = 0, length?: bigint): Uint8Array {
  const text = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const rest = typeof data === 'number' ? new Uint8Array(data) : data;
  const file = new Uint8Array(8 + text.length + rest.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(rest, 8 + text.length);
  return file;
}

const entry = (begin: number, end: number, shape: readonly number[] = [(end - begin) / 4], dtype = 'F32') =>
  JSON.stringify({ dtype, shape, data_offsets: [begin, end] });

/** Decodes or throws E_CHECKPOINT: nothing else may happen. Gives the message. */
function refusal(file: Uint8Array): string | undefined {
  try {
    decodeSafetensors(file);
    return undefined;
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'E_CHECKPOINT') return error.message;
    throw error;
  }
}

const anyName = fc
  .string({ unit: fc.constantFrom('a', 'b', '/', '_', '0', '1', 'é', '😀', '"', '\\', '.', ' '), minLength: 1 })
  .filter((name) => !name.split(/[/\\]/).includes('..'));
const anyTensors = fc.uniqueArray(anyName, { maxLength: 6 }).chain((names) =>
  fc.tuple(
    ...names.map((name) =>
      fc
        .record({
          dtype: fc.constantFrom('F32' as const, 'I32' as const, 'F64' as const, 'U8' as const),
          shape: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 3 }),
          seed: fc.integer({ min: 0, max: 255 }),
        })
        .map(({ dtype, shape, seed }): NamedTensor => {
          const size = shape.reduce((a, b) => a * b, 1);
          const values = Array.from({ length: size }, (_, i) => (seed + i) % 200);
          const array = { F32: Float32Array, I32: Int32Array, F64: Float64Array, U8: Uint8Array }[dtype].from(values);
          return { name, dtype, shape, bytes: new Uint8Array(array.buffer) };
        }),
    ),
  ),
);

describe('safetensors', () => {
  it('lays a file out as the format says', () => {
    const file = encodeSafetensors([f32('w', [2, 2], [1, 2, 3, 4]), f32('b', [], [5])], { by: 'me' });
    const header =
      '{"__metadata__":{"by":"me"},"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[],"data_offsets":[16,20]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    expect(file).toEqual(forge(padded, new Uint8Array(Float32Array.of(1, 2, 3, 4, 5).buffer)));
  });

  it('round-trips, and an independent reader finds the same', () => {
    fc.assert(
      fc.property(anyTensors, fc.dictionary(fc.string(), fc.string()), (tensors, metadata) => {
        const file = encodeSafetensors(tensors, metadata);
        const decoded = decodeSafetensors(file);
        expect(Object.fromEntries(decoded.metadata)).toEqual(metadata);
        expect(new Set(decoded.tensors.keys())).toEqual(new Set(tensors.map((t) => t.name)));
        const parsed = parseSafetensors(Buffer.from(file));
        expect({ ...parsed.metadata }).toEqual(metadata);
        expect(Object.keys(parsed.tensors)).toHaveLength(tensors.length);
        for (const { name, dtype, shape, bytes } of tensors) {
          expect(decoded.tensors.get(name)).toEqual({ dtype, shape, bytes });
          const views = { F32: Float32Array, I32: Int32Array, F64: Float64Array, U8: Uint8Array };
          const View = views[dtype as keyof typeof views];
          expect(parsed.tensors[name]).toEqual({ dtype, shape, values: [...new View(bytes.slice().buffer)] });
        }
      }),
    );
  });

  it('begins its data and every tensor aligned, and reads them in place', () => {
    const tensors = [f32('abc', [1], [1]), f32('d', [3], [2, 3, 4])];
    const mixed: NamedTensor[] = [
      { name: 'bytes', dtype: 'U8', shape: [3], bytes: Uint8Array.of(1, 2, 3) },
      ...tensors,
      { name: 'wide', dtype: 'F64', shape: [1], bytes: new Uint8Array(Float64Array.of(7).buffer) },
    ];
    const file = encodeSafetensors(mixed);
    for (const [name, { dtype, bytes }] of decodeSafetensors(file).tensors) {
      expect(bytes.buffer, name).toBe(file.buffer);
      expect(bytes.byteOffset % { U8: 1, F32: 4, F64: 8 }[dtype as 'U8' | 'F32' | 'F64']).toBe(0);
    }
    const d = decodeSafetensors(file).tensors.get('d');
    expect(d && f32Elements(d).buffer).toBe(file.buffer);
    expect(d && [...f32Elements(d)]).toEqual([2, 3, 4]);
  });

  it('reads tensors that are not aligned by copying them', () => {
    const shifted = new Uint8Array(200);
    const file = encodeSafetensors([f32('x', [2], [1.5, -2])]);
    shifted.set(file, 3);
    const x = decodeSafetensors(shifted.subarray(3, 3 + file.length)).tensors.get('x');
    expect(x && [...f32Elements(x)]).toEqual([1.5, -2]);
  });

  it('reads shared memory', () => {
    const file = encodeSafetensors([f32('x', [1], [9])]);
    const shared = new Uint8Array(new SharedArrayBuffer(file.length));
    shared.set(file);
    expect(decodeSafetensors(shared).tensors.get('x')?.shape).toEqual([1]);
  });

  it('accepts what others write: spaces, any order of keys, any order of tensors, empty tensors', () => {
    const header = ` \n{ "b" : {"shape":[1],"data_offsets":[4,8],"dtype":"F32"} , "e":${entry(4, 4, [3, 0])},\t"a":${entry(0, 4)} }  `;
    const { tensors } = decodeSafetensors(forge(header.trimStart(), 8));
    expect([...tensors.keys()]).toEqual(['a', 'e', 'b']);
    expect(tensors.get('e')?.shape).toEqual([3, 0]);
    expect(decodeSafetensors(forge('{}')).tensors.size).toBe(0);
  });

  it('refuses to write names that it would not read', () => {
    for (const name of ['', '__metadata__', 'a\n', '../x', 'a/../b', 'a\\..', '\ud800']) {
      expect(() => encodeSafetensors([f32(name, [1], [0])])).toThrow(LockstepError);
    }
    expect(() => encodeSafetensors([f32('a', [1], [0]), f32('a', [1], [0])])).toThrow(/two tensors called "a"/);
    expect(() => encodeSafetensors([f32('a', [2], [0])])).toThrow(/8 bytes, got 4/);
  });
});

describe('a forged file', () => {
  const cases: [string, Uint8Array, RegExp][] = [
    ['of no bytes', new Uint8Array(), /at least 8 bytes, got 0/],
    ['of 7 bytes', new Uint8Array(7), /at least 8 bytes/],
    ['with a header of 2^63 bytes', forge('{}', 0, 2n ** 63n), /at most 2 bytes, got a length of 9223372036854775808/],
    ['with a header of 2^64 - 1 bytes', forge('{}', 0, 2n ** 64n - 1n), /at most 2 bytes/],
    ['with a header one byte longer than the file', forge('{}', 0, 3n), /at most 2 bytes/],
    ['with a header of 0 bytes', forge('', 4), /"\{" as the first character/],
    ['with a header that is no object', forge('[]'), /"\{"/],
    ['with spaces before the header', forge(' {}'), /"\{"/],
    ['with a byte order mark', forge('\ufeff{}'), /"\{"/],
    ['with text after the header', forge('{}x'), /nothing but spaces/],
    ['with zeros after the header', forge('{}\0'), /nothing but spaces/],
    ['with a comma too many', forge(`{"a":${entry(0, 4)},}`, 4), /a string/],
    ['with bytes that are no UTF-8', forge(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x7d)), /UTF-8/],
    ['with an overlong UTF-8 form', forge(Uint8Array.of(0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x7d)), /UTF-8/],
    ['with a surrogate as UTF-8', forge(Uint8Array.of(0x7b, 0x22, 0xed, 0xa0, 0x80, 0x22, 0x7d)), /UTF-8/],
    ['with half a surrogate pair', forge(`{"\\ud800":${entry(0, 4)}}`, 4), /half a character/],
    ['with a name twice', forge(`{"a":${entry(0, 4)},"a":${entry(4, 8)}}`, 8), /a second "a"/],
    ['with a name twice, once escaped', forge(`{"a":${entry(0, 4)},"\\u0061":${entry(4, 8)}}`, 8), /a second "a"/],
    ['with metadata twice', forge('{"__metadata__":{},"__metadata__":{}}'), /__metadata__ once/],
    ['with a metadata key twice', forge('{"__metadata__":{"k":"1","k":"2"}}'), /a second "k"/],
    ['with metadata that is no text', forge('{"__metadata__":{"k":1}}'), /a string/],
    ['with nested metadata', forge('{"__metadata__":{"k":{}}}'), /a string/],
    ['with an empty name', forge(`{"":${entry(0, 4)}}`, 4), /an empty name/],
    ['with a name of ..', forge(`{"../../etc/passwd":${entry(0, 4)}}`, 4), /"\.\." in/],
    ['with .. inside a name', forge(`{"a\\\\..\\\\b":${entry(0, 4)}}`, 4), /"\.\." in/],
    ['with an escaped control character in a name', forge(`{"a\\u0007":${entry(0, 4)}}`, 4), /control characters/],
    ['with a raw control character in a name', forge(`{"a\u0007":${entry(0, 4)}}`, 4), /a string/],
    ['with DEL in a name', forge(`{"a\u007f":${entry(0, 4)}}`, 4), /control characters/],
    ['with an unknown dtype', forge(`{"a":${entry(0, 4, [1], 'F31')}}`, 4), /a dtype of .*got "F31"/],
    ['with a dtype of the prototype', forge(`{"a":${entry(0, 4, [1], 'toString')}}`, 4), /a dtype of/],
    ['with a dtype that is a number', forge('{"a":{"dtype":1,"shape":[],"data_offsets":[0,4]}}', 4), /a string/],
    ['without a shape', forge('{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4), /dtype, shape and two data_offsets/],
    ['with a second shape', forge('{"a":{"dtype":"F32","shape":[],"shape":[1],"data_offsets":[0,4]}}', 4), /each once/],
    [
      'with an unknown key',
      forge('{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}', 4),
      /each once, got "x"/,
    ],
    ['with three offsets', forge('{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,4]}}', 4), /two data_offsets/],
    ['with a negative dimension', forge(`{"a":${entry(0, 4, [-1])}}`, 4), /a whole number/],
    ['with a fractional dimension', forge(`{"a":${entry(0, 4, [1.5])}}`, 4), /a whole number/],
    ['with an exponent', forge('{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', 4), /a whole number/],
    ['with a leading zero', forge('{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', 4), /a whole number/],
    [
      'with a dimension of 2^53',
      forge('{"a":{"dtype":"F32","shape":[9007199254740992],"data_offsets":[0,4]}}', 4),
      /2\^53/,
    ],
    [
      'with dimensions whose product wraps to 1',
      forge(`{"a":${entry(0, 4, [2 ** 32, 2 ** 32 + 1])}}`, 4),
      /Infinity bytes/,
    ],
    ['with a wrong size', forge(`{"a":${entry(0, 8, [1])}}`, 8), /4 bytes for F32 \[1\], got 8/],
    ['with a dtype of another width', forge(`{"a":${entry(0, 4, [1], 'F64')}}`, 4), /8 bytes for F64/],
    ['with offsets in reverse', forge(`{"a":${entry(4, 0, [1])}}`, 4), /a place within 4 bytes/],
    ['with an end beyond the data', forge(`{"a":${entry(0, 8)}}`, 4), /a place within 4 bytes/],
    ['with overlapping tensors', forge(`{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12), /begin at byte 8.*got byte 4/],
    ['with one tensor inside another', forge(`{"a":${entry(0, 12)},"b":${entry(4, 8)}}`, 12), /begin at byte 12/],
    ['with a gap', forge(`{"a":${entry(0, 4)},"b":${entry(8, 12)}}`, 12), /begin at byte 4.*got byte 8/],
    ['with a gap before the first', forge(`{"a":${entry(4, 8)}}`, 8), /begin at byte 0/],
    ['with bytes that belong to no tensor', forge(`{"a":${entry(0, 4)}}`, 5), /4 bytes of tensors, got 5/],
    ['with a header that nests without end', forge('{"a":'.repeat(100_000)), /each once, got "a"/],
    ['with arrays that nest without end', forge(`{"a":{"shape":${'['.repeat(100_000)}`), /a whole number/],
  ];

  it.each(cases)('%s is refused', (_, file, message) => {
    expect(refusal(file)).toMatch(message);
  });

  const whole = encodeSafetensors([f32('first/weight', [2, 3], [1, 2, 3, 4, 5, 6]), f32('b', [3], [7, 8, 9])], {
    k: 'v',
  });

  it('cut off after any byte is refused', () => {
    for (let length = 0; length < whole.length; length++) expect(refusal(whole.subarray(0, length))).toBeDefined();
    expect(refusal(whole)).toBeUndefined();
  });

  it('with any bit of length or header flipped is refused, or is another correct file', () => {
    const dataStart = whole.length - 36;
    for (let bit = 0; bit < 8 * dataStart; bit++) {
      const file = whole.slice();
      file[bit >> 3] ^= 1 << (bit & 7);
      if (refusal(file) !== undefined) continue;
      // Only names, metadata, padding and types of the same width may read as something else that is allowed.
      const shapes = [...decodeSafetensors(file).tensors.values()].map(({ shape, bytes }) => [shape, bytes.length]);
      expect(shapes).toEqual([[[2, 3], 24], [[3], 12]]); // biome-ignore format: pairs
    }
  });

  it('of random changes ends in an answer or E_CHECKPOINT, never in a crash', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const file = whole.slice();
          for (const [at, byte] of changes) file[at] = byte;
          refusal(file);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it('of random text ends in an answer or E_CHECKPOINT', () => {
    const token = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '"dtype"',
      '"shape"',
      '"data_offsets"',
      '"F32"',
      '0',
      '4',
      '__metadata__',
      ' ',
      '\\',
    );
    fc.assert(
      fc.property(fc.array(token, { maxLength: 30 }), fc.nat(16), (tokens, data) => {
        refusal(forge(`{${tokens.join('')}`, data));
      }),
      { numRuns: 2000 },
    );
  });
});
