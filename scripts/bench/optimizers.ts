/** The optimizer pass alone: AdamW over a million parameters on one thread, beside PyTorch's foreach AdamW. */
import { z } from 'zod';
import type { ExtraContext, ExtraOutcome } from './extras.ts';
import { torchName } from './machine.ts';
import { lockstepCommand, missingPeer, torchCommand } from './peers.ts';
import { type PeerCommand, PeerProcess } from './protocol.ts';
import { type Slice, summarize, type Timing } from './statistics.ts';

const PARAMETERS = 1_000_000;
const ROUNDS = 6;
const SECONDS = 0.4;
const Reply = z.object({ stepsMs: z.array(z.number()).min(1) });

export async function measureOptimizers({ machine }: ExtraContext): Promise<ExtraOutcome> {
  const commands: PeerCommand[] = [lockstepCommand('wasm')];
  const notes: string[] = [];
  const missing = missingPeer('torch');
  if (missing === undefined) {
    commands.push(torchCommand({ processes: 1, threads: 1 }));
    machine.peers.torch ??= torchName('');
  } else {
    notes.push(`AdamW of PyTorch: ${missing}`);
  }
  const runs = commands.map((command) => ({
    name: command.name,
    process: new PeerProcess(command),
    slices: [] as Slice[],
  }));
  try {
    for (let round = 0; round < ROUNDS; round++) {
      for (const { process, slices } of runs) {
        slices.push(await process.ask({ cmd: 'optimizer', parameters: PARAMETERS, seconds: SECONDS }, Reply));
      }
    }
  } finally {
    await Promise.all(runs.map(({ process }) => process.close()));
  }
  const nanoseconds = ({ stepMs }: Timing) => (1e6 * stepMs) / PARAMETERS;
  const figures = runs.map(({ name, slices }) => {
    const timing = summarize(slices);
    return { peer: name, optimizer: 'adamw', parameters: PARAMETERS, nsPerParameter: nanoseconds(timing), ...timing };
  });
  notes.unshift(
    ...figures.map(
      ({ peer, nsPerParameter, spread }) =>
        `AdamW, ${PARAMETERS / 1e6} M parameters, 1 thread, ${peer}: ${nsPerParameter.toFixed(2)} ns a parameter ` +
        `(rounds ${spread.map((ms) => ((1e6 * ms) / PARAMETERS).toFixed(2)).join(' - ')})`,
    ),
  );
  return { extras: { adamwNsPerParameter: figures[0].nsPerParameter }, figures, notes };
}
