import { createBlockSampler } from '../data/block-sampler.ts';
import type { LoadedData } from '../data/contract.ts';
import { LockstepError } from '../errors.ts';

/** Refuses batches that are larger than the windows in which rows come from disk. @throws E_MEMORY */
export function checkWindows({ train }: LoadedData, batchSize: number): void {
  if (train.kind !== 'streamed') return;
  const { size, blocks, memory } = train;
  const { smallestWindow } = createBlockSampler({ size, batchSize, seed: 0, shuffle: false, blocks });
  if (batchSize <= smallestWindow) return;
  throw new LockstepError('E_MEMORY', {
    where: `data.train: memory ${memory}`,
    expected: `windows of at least a batch (${batchSize} rows)`,
    got: `${smallestWindow} rows`,
    fix: `a smaller batchSize, or memory of about ${Math.ceil((2 * memory * batchSize) / smallestWindow)}`,
  });
}
