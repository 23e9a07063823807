import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import * as ort from 'onnxruntime-web';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encodeModel } from '../../src/checkpoint/model-file.ts';
import { readCommandLine } from '../../src/cli/commands.ts';
import type { Job } from '../../src/train/job.ts';
import small from '../fixtures/small-job.ts';
import { storedModel } from '../predict/stored-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-export-'));
const at = (name: string) => join(folder, name);
beforeAll(async () => writeFileSync(at('model.st'), encodeModel(await storedModel(small as unknown as Job))));
afterAll(() => rmSync(folder, { recursive: true }));

async function exported(...args: string[]): Promise<string[]> {
  const request = readCommandLine(['export', ...args], '1');
  if (request.kind !== 'work') throw new Error(request.text);
  const lines: string[] = [];
  await request.run({
    out: (line) => lines.push(line),
    write: async () => {},
    progress: new PassThrough(),
    input: new PassThrough(),
    stop: new AbortController().signal,
  });
  return lines;
}

test('writes ONNX, safetensors, or both, and says what goes in and comes out', async () => {
  const lines = await exported(at('model.st'), at('copy.st'), '--onnx', at('model.onnx'));
  expect(lines).toEqual([
    expect.stringMatching(/copy\.st: .* KiB, step 1/),
    expect.stringMatching(/model\.onnx: .*, step 1/),
    'inputs x; outputs output, probabilities, label',
  ]);
  expect(readFileSync(at('copy.st'))).toEqual(readFileSync(at('model.st')));
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(readFileSync(at('model.onnx')), { executionProviders: ['wasm'] });
  const { label } = await session.run({ x: new ort.Tensor('float32', [1, -1, 0.5, 2], [2, 2]) });
  expect(label.dims).toEqual([2]);
});

test('wants a file, in a folder that exists', async () => {
  await expect(exported(at('model.st'))).rejects.toThrow(
    'lockstep export: expected a file to write, got none; name one: model.safetensors, or --onnx model.onnx',
  );
  await expect(exported(at('model.st'), '--onnx', at('none/model.onnx'))).rejects.toThrow(/name a file in a folder/);
  expect(existsSync(at('none'))).toBe(false);
});
