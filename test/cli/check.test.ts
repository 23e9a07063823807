import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { runCli, SMALL_JOB } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-check-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('a sound job passes every check and leaves nothing behind', async () => {
  const { code, stdout, stderr } = await runCli(['check', SMALL_JOB, '-w', '2'], { env: { TMPDIR: folder } });
  expect(stderr).toBe('');
  expect(code).toBe(0);
  const titles = stdout.split('\n').map((line) => /^(\S) (.*?) +\d[\d.]* m?s {2}/.exec(line)?.slice(1));
  expect(titles.filter(Boolean)).toEqual(
    [
      ...['reads the data', 'compiles', 'trains a batch', 'validates a batch', 'saves', 'loads', 'predicts'],
      ...['learns 32 rows by heart', 'same bytes on 2 workers'],
    ].map((title) => ['✓', title]),
  );
  expect(stdout).toContain('72 training, 24 validation');
  expect(readdirSync(folder).filter((name) => name.startsWith('lockstep'))).toEqual([]);
});

it('an unsound job says what is wrong with it, and ends with 1', async () => {
  const root = new URL('../../', import.meta.url);
  const file = join(folder, 'unsound.ts');
  writeFileSync(
    file,
    `import { crossEntropy, defineJob, dense, sequential, sgd } from '${fileURLToPath(new URL('src/index.ts', root))}';
import { arrays } from '${fileURLToPath(new URL('src/data/index.ts', root))}';
const x = Float32Array.from({ length: 80 }, (_, i) => 5000 + ((i * 37) % 80));
const y = Int32Array.from({ length: 40 }, (_, i) => (i * 7) % 3);
export default defineJob({
  data: { train: arrays({ x: { data: x, shape: [40, 2] }, y }) },
  model: sequential(dense(8, 'relu'), dense(3, 'softmax')),
  loss: crossEntropy(),
  optimizer: sgd({ lr: 1 }),
});
`,
  );
  const { code, stdout, stderr } = await runCli(['check', file, '-w', '1', '--json']);
  expect(stderr).toMatch(
    /^error E_CHECK: .*unsound\.ts: expected every check to pass, got 1 failure \(learns 32 rows by heart\); .*\n$/,
  );
  expect(code).toBe(1);
  const { checks } = JSON.parse(stdout);
  const of = (name: string) => checks.find((c: { name: string }) => c.name === name);
  expect(of('data').advice.join()).toMatch(/field x is not normalised: element \d has mean 50\d\d/);
  expect(of('compile').status).toBe('warning');
  expect(of('validate').status).toBe('skipped');
  const causes = of('learn').advice.join('\n');
  expect(causes).toMatch(/softmax directly before crossEntropy/);
  expect(causes).toMatch(/field x is not normalised .*normalize: \{ x: 'standard' \}/);
  expect(of('workers').status).toBe('ok');
});
