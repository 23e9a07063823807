import { train } from 'lockstep';
import { expect, test } from 'vitest';
import { wandbSink } from '../../examples/wandb-sink.ts';
import job from '../fixtures/small-job.ts';

test('sends header, steps and evaluations, and finishes; without the package only the sink is lost', async () => {
  const logged: [number, string[]][] = [];
  let config: unknown;
  let finished = 0;
  const wandb = {
    init: async (options: { config: unknown }) => {
      config = options.config;
      return {
        log: (values: Record<string, number>, { step }: { step: number }) =>
          void logged.push([step, Object.keys(values)]),
        finish: async () => void finished++,
      };
    },
  };
  const { step } = await train(job, { workers: 1, sinks: [wandbSink('p', async () => wandb)] });
  expect(config).toMatchObject({ seed: 1 });
  expect(logged.filter(([, names]) => names.includes('loss')).map(([n]) => n)).toEqual(Array.from({ length: step }, (_, i) => i + 1)); // biome-ignore format: one line
  expect(logged.some(([, names]) => names.includes('val.loss'))).toBe(true);
  expect(finished).toBe(1);

  const without = await train(job, { workers: 1, sinks: [wandbSink('p')] });
  expect(without.step).toBe(step);
  expect(without.problems.map(({ message }) => message)).toEqual([expect.stringContaining('@wandb/sdk')]);
});
