import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { decodeSafetensors, f32Elements } from '../../src/checkpoint/safetensors.ts';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import { findCheckpoint } from '../../src/checkpoint/store.ts';
import { nodeFs } from '../../src/checkpoint/store-fs.ts';
import { parseSafetensors } from './parse-safetensors.ts';
import { sample } from './sample.ts';

const runDir = mkdtempSync(join(tmpdir(), 'lockstep-checkpoint-'));
afterAll(() => rmSync(runDir, { recursive: true, force: true }));

saveCheckpoint(nodeFs, sample(runDir, 3));
const { checkpoint } = findCheckpoint(nodeFs, runDir);
const files = ['parameters.safetensors', 'optimizer.safetensors'].map((name) => join(checkpoint.path, name));

/** Values that the files must hold, by file and name, from the flat vectors. */
const expected = files.map((_, i) => {
  const request = sample(runDir, 3);
  const values: Record<string, number[]> = {};
  const flats = i === 0 ? [request.parameters] : request.slots;
  for (const [k, flat] of flats.entries()) {
    let offset = 0;
    for (const { name, shape } of request.facts.tensors) {
      const size = shape.reduce((a, b) => a * b, 1);
      values[i === 0 ? name : `${'mv'[k]}/${name}`] = [...flat.slice(offset, offset + size)];
      offset += Math.ceil(size / 16) * 16;
    }
  }
  return values;
});

it('the files of a checkpoint read the same in an independent reader', () => {
  files.forEach((path, i) => {
    const { tensors } = parseSafetensors(readFileSync(path));
    expect(Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, t.values]))).toEqual(expected[i]);
    for (const { name, shape } of checkpoint.manifest.tensors) {
      expect(tensors[i === 0 ? name : `m/${name}`]).toMatchObject({ dtype: 'F32', shape });
    }
  });
});

const python = spawnSync('python3', ['-c', 'import safetensors.numpy'], { stdio: 'ignore' }).status === 0;

it.skipIf(!python)("the files of a checkpoint read the same in Python's safetensors, and its files here", () => {
  const script = `
import json, sys
from safetensors.numpy import load_file, save_file
loaded = [load_file(path) for path in sys.argv[1:3]]
save_file(loaded[0], sys.argv[3], {"from": "python"})
print(json.dumps([{k: v.flatten().tolist() for k, v in tensors.items()} for tensors in loaded]))`;
  const written = join(runDir, 'python.safetensors');
  const output = execFileSync('python3', ['-c', script, ...files, written], { encoding: 'utf8' });
  expect(JSON.parse(output)).toEqual(expected);
  const { tensors, metadata } = decodeSafetensors(readFileSync(written));
  expect([...metadata]).toEqual([['from', 'python']]);
  expect(Object.fromEntries([...tensors].map(([name, t]) => [name, [...f32Elements(t)]]))).toEqual(expected[0]);
});
