import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { train } from 'lockstep';
import { text } from 'lockstep/data';
import { afterAll, expect, test } from 'vitest';
import job from '../../examples/char-gpt.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-char-gpt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('the character GPT begins with equal odds for all characters, and learns from the first steps on', async () => {
  const file = join(folder, 'text.txt');
  writeFileSync(file, 'abcdefgh ijklmnop\n'.repeat(60));
  const { checkpoint: _, ...short } = job;
  const data = { train: text(file, { length: 64 }), validation: 0.2 };
  const { history } = await train({ ...short, data, steps: 6 }, { workers: 1 });
  const losses = Array.from({ length: history.length }, (_, i) => history.at(i)?.loss ?? Number.NaN);
  expect(Math.abs(losses[0] - Math.log(18))).toBeLessThan(0.15);
  expect(losses[5]).toBeLessThan(losses[0] - 0.2);
});
