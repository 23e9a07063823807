import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completeManifest, encodeManifest, parseManifest, tensorTable } from '../../src/checkpoint/manifest.ts';
import { decodeModel, encodeModel } from '../../src/checkpoint/model-file.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/checkpoint/safetensors.ts';
import { LockstepError } from '../../src/errors.ts';
import { layoutTensors } from '../../src/graph/layout.ts';
import { sample } from './sample.ts';

const files = (['parameters.safetensors', 'optimizer.safetensors'] as const).map((name) => ({
  name,
  bytes: 100,
  sha256: 'ab'.repeat(32),
}));
const { facts, parameters } = sample('/run', 4);
const manifest = completeManifest(facts, files, '2026-01-02T03:04:05.000Z');

type Json = { [key: string]: unknown };
/** The manifest with one change, as text. */
function changed(change: (m: Json) => void): string {
  const copy = JSON.parse(encodeManifest(manifest)) as Json;
  change(copy);
  return JSON.stringify(copy);
}

function refusal(text: string): string {
  try {
    parseManifest(text, 'manifest.json');
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'E_CHECKPOINT') return error.message;
    throw error;
  }
  throw new Error('was accepted');
}

describe('the manifest', () => {
  it('round-trips, numbers that JSON lacks included', () => {
    expect(parseManifest(encodeManifest(manifest), 'here')).toEqual(manifest);
  });

  it('gives the tensor table of the layout', () => {
    const specs = facts.tensors.map(({ name, shape, init }) => ({ name, shape, init }));
    expect(tensorTable(manifest)).toEqual(layoutTensors(specs));
    expect(tensorTable(manifest).flatSize).toBe(parameters.length);
  });

  it('is a few KB for a small model', () => {
    expect(encodeManifest(manifest).length).toBeLessThan(5000);
  });
});

describe('a manifest that lies', () => {
  it.each<[string, string, RegExp]>([
    ['no JSON', '{', /manifest\.json: expected JSON/],
    ['no manifest', '{"a":1}', /the manifest of a Lockstep checkpoint, got nothing/],
    ['null', 'null', /the manifest of a Lockstep checkpoint/],
    ['a newer version', changed((m) => Object.assign(m, { version: 2, lockstep: '9.9' })), /version 2.*"9\.9"; update/],
    ['a step below 0', changed((m) => Object.assign(m, { step: -1 })), /manifest\.json: step: expected .*got "-1"/],
    ['a step that is no integer', changed((m) => Object.assign(m, { step: 1.5 })), /step/],
    ['an unknown entry', changed((m) => Object.assign(m, { extra: 1 })), /extra/],
    ['no tensors', changed((m) => Object.assign(m, { tensors: [] })), /tensors/],
    [
      'a file outside of the folder',
      changed((m) => Object.assign((m.files as Json[])[0], { name: '../../etc/passwd' })),
      /files\.0\.name.*passwd/,
    ],
    [
      'an absolute file',
      changed((m) => Object.assign((m.files as Json[])[0], { name: '/etc/passwd' })),
      /files\.0\.name/,
    ],
    ['a file twice', changed((m) => (m.files as Json[]).push((m.files as Json[])[0])), /two called "parameters/],
    ['no parameters', changed((m) => (m.files as Json[]).shift()), /expected parameters\.safetensors/],
    ['slots without their file', changed((m) => (m.files as Json[]).pop()), /expected optimizer\.safetensors/],
    ['a hash that is none', changed((m) => Object.assign((m.files as Json[])[0], { sha256: 'xyz' })), /64 hexadecimal/],
    ['a negative size', changed((m) => Object.assign((m.files as Json[])[0], { bytes: -5 })), /files\.0\.bytes/],
    [
      'a tensor name with ..',
      changed((m) => Object.assign((m.tensors as Json[])[0], { name: 'a/../b' })),
      /tensors\.0\.name/,
    ],
    ['a tensor twice', changed((m) => (m.tensors as Json[]).push((m.tensors as Json[])[0])), /two called/],
    [
      'a tensor larger than any memory',
      changed((m) => Object.assign((m.tensors as Json[])[0], { shape: [2 ** 31, 2 ** 31] })),
      /at most 2\^32/,
    ],
    [
      'a tensor without elements',
      changed((m) => Object.assign((m.tensors as Json[])[0], { shape: [0] })),
      /tensors\.0\.shape/,
    ],
    [
      'a transform of no kind',
      changed((m) => Object.assign((m.transforms as Json[])[0], { kind: 'shell' })),
      /transform 0/,
    ],
    [
      'a transform without its numbers',
      changed((m) => Object.assign((m.transforms as Json[])[0], { mean: [] })),
      /transform 0/,
    ],
    [
      'a graph without outputs',
      changed((m) => Object.assign((m.model as Json[])[0], { outputs: [] })),
      /model\.0\.outputs/,
    ],
    [
      'a best value that is text',
      changed((m) => Object.assign((m.progress as Json).stopping as Json, { best: 'high' })),
      /stopping\.best/,
    ],
  ])('with %s is refused', (_, text, message) => {
    expect(refusal(text)).toMatch(message);
  });

  it('of random changes is read or refused with E_CHECKPOINT', () => {
    const text = encodeManifest(manifest);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(text.length - 1), fc.constantFrom(...'{}[]",:0-1e.\\a')), {
          minLength: 1,
          maxLength: 3,
        }),
        (changes) => {
          let forged = text;
          for (const [at, character] of changes) forged = forged.slice(0, at) + character + forged.slice(at + 1);
          try {
            parseManifest(forged, 'x');
          } catch (error) {
            expect(error).toMatchObject({ code: 'E_CHECKPOINT' });
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('a model file', () => {
  const bytes = encodeModel({ manifest, parameters });

  it('holds manifest and parameters', () => {
    const model = decodeModel(bytes);
    expect(model.manifest).toEqual(manifest);
    expect(model.parameters).toEqual(new Float32Array(parameters));
  });

  it('is an ordinary safetensors file', () => {
    expect([...decodeSafetensors(bytes).tensors.keys()]).toEqual(facts.tensors.map((t) => t.name));
  });

  it('is refused without its manifest, and when manifest and tensors differ', () => {
    const { tensors, metadata } = decodeSafetensors(bytes);
    const list = [...tensors].map(([name, tensor]) => ({ name, ...tensor }));
    const text = metadata.get('lockstep') ?? '';
    const repack = (change: typeof list, manifestText = text) => encodeSafetensors(change, { lockstep: manifestText });
    expect(() => decodeModel(encodeSafetensors(list))).toThrow(/a file of another program|of another program/);
    expect(() => decodeModel(repack(list.slice(1)))).toThrow(/no tensor of that name/);
    expect(() => decodeModel(repack([...list, { ...list[0], name: 'more' }]))).toThrow(/also "more"/);
    const [first, ...rest] = list;
    expect(() => decodeModel(repack([{ ...first, shape: [...first.shape].reverse() }, ...rest]))).toThrow(/F32 \[/);
    expect(() => decodeModel(repack([{ ...first, dtype: 'I32' }, ...rest]))).toThrow(/got I32/);
    expect(() => decodeModel(repack(list, 'no JSON'))).toThrow(/manifest: expected JSON/);
    expect(decodeModel(repack(list)).manifest).toEqual(manifest);
  });

  it('cut or flipped anywhere in front of its data is refused', () => {
    const dataBytes = parameters.length * 4;
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), (length) => {
        expect(() => decodeModel(bytes.subarray(0, length))).toThrow(LockstepError);
      }),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - dataBytes), fc.nat(7), (at, bit) => {
        const forged = bytes.slice();
        forged[at] ^= 1 << bit;
        try {
          decodeModel(forged);
        } catch (error) {
          expect(error).toMatchObject({ code: 'E_CHECKPOINT' });
        }
      }),
    );
  });
});
