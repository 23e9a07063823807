import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { encodeModel } from '../checkpoint/model-file.ts';
import { LockstepError } from '../errors.ts';
import { encodeOnnx } from '../export/onnx.ts';
import { formatBytes } from '../parallel/arena.ts';
import { readStoredModel } from '../predict/node-model.ts';
import type { Io } from './io.ts';

export interface ExportCommandOptions {
  readonly best?: string;
  /** The file to write as ONNX. */
  readonly onnx?: string;
}

/**
 * `lockstep export <model> [file] [--onnx file]`: the model in one safetensors file, as ONNX, or both. An earlier file is replaced at
 * once or not at all.
 */
export async function exportCommand(
  model: string,
  file: string | undefined,
  options: ExportCommandOptions,
  io: Io,
): Promise<void> {
  const { best, onnx } = options;
  if (file === undefined && onnx === undefined) {
    throw new LockstepError('E_OPTION', {
      where: 'lockstep export',
      expected: 'a file to write',
      got: 'none',
      fix: 'name one: model.safetensors, or --onnx model.onnx',
    });
  }
  const stored = await readStoredModel(model, best === undefined ? {} : { best });
  const { step, metrics } = stored.manifest;
  const measured = Object.entries(metrics).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  const report = (path: string, bytes: Uint8Array) =>
    io.out([`${path}: ${formatBytes(bytes.length)}, step ${step}`, ...measured].join(', '));
  if (file !== undefined) {
    const bytes = encodeModel(stored);
    writeAtOnce(file, bytes);
    report(file, bytes);
  }
  if (onnx !== undefined) {
    const { bytes, inputs, outputs } = encodeOnnx(stored);
    writeAtOnce(onnx, bytes);
    report(onnx, bytes);
    io.out(`inputs ${inputs.join(', ')}; outputs ${outputs.join(', ')}`);
  }
}

function writeAtOnce(file: string, bytes: Uint8Array): void {
  const path = resolve(file);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    writeFileSync(temporary, bytes);
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw new LockstepError('E_OPTION', {
      where: file,
      expected: 'a file that can be written',
      got: cause instanceof Error ? cause.message : String(cause),
      fix: 'name a file in a folder that exists',
      cause,
    });
  }
}
