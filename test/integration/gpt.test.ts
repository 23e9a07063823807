import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  adamw, crossEntropy, defineJob, dense, embedding, layerNorm, multiHeadAttention, positions, residual, scope, sequential, train,
} from 'lockstep'; // biome-ignore format: a list
import { text } from 'lockstep/data';
import { Predictor } from 'lockstep/predict';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runCli } from '../cli/run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-gpt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A text in which the next character follows from the last two. */
const CYCLE = 'the cat sat. ';
const LENGTH = 12;

const job = defineJob({
  data: { train: text(join(folder, 'text.txt'), { length: LENGTH }), validation: 0.1 },
  model: ({ x }, info) => {
    const tokens = embedding(info.x.size, 24, { name: 'tokens' });
    const block = (i: number) =>
      scope(`block${i}`, () =>
        sequential(
          residual(layerNorm(), multiHeadAttention({ heads: 2, causal: true, rotary: i === 1 })),
          residual(layerNorm(), dense(48, 'gelu'), dense(24)),
        ),
      );
    return tokens.attend(sequential(positions(LENGTH), block(0), block(1), layerNorm())(tokens(x)));
  },
  loss: crossEntropy(),
  optimizer: adamw({ lr: 5e-3 }),
  clip: { globalNorm: 1 },
  batchSize: 48,
  shards: 4,
  steps: 60,
  seed: 3,
});

describe('a small GPT', () => {
  const runDir = join(folder, 'run');
  let sha256 = '';
  beforeAll(async () => {
    writeFileSync(join(folder, 'text.txt'), CYCLE.repeat(80));
    const one = await train(job, { workers: 1, runDir });
    sha256 = one.parametersSha256;
    // Of one or two characters what follows is not certain.
    expect(one.metrics['val.loss']).toBeLessThan(0.25);
    expect(one.metrics['val.accuracy']).toBeGreaterThan(0.94);
  });

  test('learns to the same bytes on 2 workers', async () => {
    const two = await train(job, { workers: 2 });
    expect(two.parametersSha256).toBe(sha256);
  });

  test('goes on with a text, longer than its positions, in pieces and as a whole', async () => {
    const predictor = await Predictor.load(runDir);
    const pieces: string[] = [];
    const made = await predictor.generate('the c', { tokens: 40, temperature: 0, onText: (t) => pieces.push(t) });
    expect(`the c${made}`).toBe(CYCLE.repeat(4).slice(0, 45));
    expect(pieces.join('')).toBe(made);
    const again = (seed: number) => predictor.generate('at sa', { tokens: 30, temperature: 3, topK: 5, seed });
    expect(await again(1)).toBe(await again(1));
    expect(await again(1)).not.toBe(await again(2));
    await expect(predictor.generate('X')).rejects.toThrow(/generate: prompt.*got "X"/);
    await expect(predictor.generate('')).rejects.toThrow(/at least one token/);
    await expect(predictor.generate('a', { temperature: -1 })).rejects.toThrow(/temperature.*at least 0/);
    await expect(predictor.generate('a', { signal: AbortSignal.abort() })).rejects.toThrow(/an abort/);
    predictor.dispose();
    await expect(predictor.generate('a')).rejects.toThrow(/disposed/);
  });

  test('draws tokens as often as the model says', async () => {
    const predictor = await Predictor.load(runDir);
    const answer = await predictor.predict({ text: 'at' });
    if (!Array.isArray(answer)) throw new Error('no positions');
    const { probabilities } = answer[1];
    const flat = Object.entries<number>(probabilities).map(([token, p]) => [token, p ** 0.2] as const);
    const total = flat.reduce((sum, [, w]) => sum + w, 0);
    const draws = 300;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < draws; seed++) {
      const token = await predictor.generate('at', { tokens: 1, temperature: 5, seed });
      counts.set(token, (counts.get(token) ?? 0) + 1);
    }
    for (const [token, w] of flat) {
      const p = w / total;
      // Four standard deviations of a binomial count.
      const bound = 4 * Math.sqrt(draws * p * (1 - p)) + 1;
      expect(Math.abs((counts.get(token) ?? 0) - draws * p), token).toBeLessThan(bound);
    }
    predictor.dispose();
  });

  test('writes on the command line', async () => {
    const { code, stdout } = await runCli([
      'generate',
      runDir,
      '--prompt',
      'the',
      '--tokens',
      '9',
      '--temperature',
      '0',
    ]);
    expect([code, stdout]).toEqual([0, `the${CYCLE.slice(3, 12)}\n`]);
    const refused = await runCli(['generate', runDir, '--prompt', 'Z']);
    expect([refused.code, refused.stdout]).toEqual([1, '']);
    expect(refused.stderr).toMatch(/E_DATA_VALUE.*got "Z"/);
  });
});
