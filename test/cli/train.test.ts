import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { trainCommand } from '../../src/cli/train.ts';

test('a page of a run that ends after one step is refused before anything is loaded', async () => {
  const io = {
    out: () => undefined,
    write: async () => undefined,
    input: Readable.from([]),
    progress: { write: () => true },
    stop: new AbortController().signal,
  };
  await expect(trainCommand('no-such-job.ts', { fastDevRun: true, dashboard: true, set: [] }, io)).rejects.toThrow(
    /option --dashboard: .*--fast-dev-run, which ends after one step; .*--overfit-batches 1 --dashboard/,
  );
});
