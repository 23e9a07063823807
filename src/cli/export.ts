import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { encodeModel } from '../checkpoint/model-file.ts';
import { LockstepError } from '../errors.ts';
import { formatBytes } from '../parallel/arena.ts';
import { readStoredModel } from '../predict/node-model.ts';
import type { Io } from './io.ts';

export interface ExportCommandOptions {
  readonly best?: string;
}

/** `lockstep export <model> <file>`: the model in one safetensors file. An earlier file is replaced at once or not at all. */
export async function exportCommand(model: string, file: string, options: ExportCommandOptions, io: Io): Promise<void> {
  const stored = await readStoredModel(model, options.best === undefined ? {} : { best: options.best });
  const bytes = encodeModel(stored);
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
  const { step, metrics } = stored.manifest;
  const measured = Object.entries(metrics).map(([name, value]) => `${name} ${value.toPrecision(4)}`);
  io.out([`${file}: ${formatBytes(bytes.length)}, step ${step}`, ...measured].join(', '));
}
