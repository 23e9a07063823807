import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lockRunDir } from '../../src/checkpoint/lock.ts';
import { type CliResult, runCli, SMALL_JOB } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-cli-folder-'));
const path = (...parts: string[]): string => join(folder, ...parts);
const used = path('used');
const TRAIN = ['train', SMALL_JOB, '-q', '-w', '1'];

function write(name: string, text: string): string {
  writeFileSync(path(name), text);
  return path(name);
}

/** A copy of a run folder with checkpoints of steps 9 and 12. */
function copyOfUsed(name: string): string {
  cpSync(used, path(name), { recursive: true });
  return path(name);
}

/** One line of an error, its exit code, and nothing on standard output. */
function expectRefusal({ code, stdout, stderr }: CliResult, error: string, ...says: RegExp[]): void {
  expect(stderr).toMatch(new RegExp(`^error ${error}: [^\\n]+\\n$`));
  for (const text of says) expect(stderr).toMatch(text);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
}

beforeAll(async () => {
  const { code, stderr } = await runCli([...TRAIN, '--run-dir', used, '--set', 'checkpoint={"everySteps":3}']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('a run folder', () => {
  test('that another run holds, or has used, is refused with what to do', async () => {
    const lock = lockRunDir(path('locked'));
    const [locked, again] = await Promise.all([
      runCli([...TRAIN, '--run-dir', path('locked')]),
      runCli([...TRAIN, '--run-dir', used]),
    ]);
    lock.release();
    expectRefusal(locked, 'E_RUN_DIR', new RegExp(`process ${process.pid} on .* writes there`), /--run-dir/);
    expectRefusal(again, 'E_RUN_DIR', /checkpoints up to step 12/, /--resume auto/);
    expect(existsSync(path('locked'))).toBe(false);
  });

  test('whose newest checkpoint is damaged gives the one before, and says so', async () => {
    const runDir = copyOfUsed('damaged');
    truncateSync(join(runDir, 'checkpoints', 'step-00000012', 'parameters.safetensors'), 100);
    const args = ['train', SMALL_JOB, '-w', '1', '--run-dir', runDir, '--resume', 'auto', '--json'];
    const { code, stdout, stderr } = await runCli(args);
    expect(stderr).toMatch(/note: .*step-00000012 is not whole and was passed over: .*100/);
    expect(stderr).toMatch(/note: resumed after step 9/);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ stopped: 'epochs', step: 12, trainedSteps: 3 });
  });

  test('that ended has nothing left to train; another job is refused by the name of what differs', async () => {
    const runDir = copyOfUsed('ended');
    const resume = ['--run-dir', runDir, '--resume', 'auto'];
    const [ended, other] = await Promise.all([
      runCli(['train', SMALL_JOB, '-w', '1', ...resume]),
      runCli([...TRAIN, '--run-dir', copyOfUsed('other'), '--resume', 'auto', '--set', 'optimizer.lr=0.5']),
    ]);
    expect(ended.code).toBe(0);
    expect(ended.stderr.trimEnd().split('\n').at(-1)).toMatch(/^nothing left to train: .* after 12 steps, parameters/);
    expectRefusal(other, 'E_RESUME', /job\.optimizer.*lr/, /0\.05/, /0\.5/, /--warm-start/);
  });

  test('on a disk that is full leaves the result, a warning for every try, and nothing half written', async () => {
    const runDir = path('full');
    const args = ['train', SMALL_JOB, '-w', '1', '--json', '--run-dir', runDir];
    const { code, stdout, stderr } = await runCli([...args, '--set', 'checkpoint={"everySteps":5}'], { fileKiB: 4 });
    expect(stderr).toMatch(/note: checkpoint of step 5 was not written \(.*EFBIG.*\): training goes on/);
    expect(stderr).toMatch(/note: checkpoint of step 12 was not written \(.*\): trying again/);
    expect(stderr).toMatch(/\nerror E_RUN_DIR: run folder .*the checkpoint of step 12, the last, got .*EFBIG[^\n]*\n$/);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ stopped: 'epochs', step: 12 });
    expect(readdirSync(join(runDir, 'checkpoints'))).toEqual([]);
    expect(existsSync(join(runDir, 'lock.json'))).toBe(false);
  }, 60_000);

  test('that may not be written is refused before anything is trained', async () => {
    const root = process.getuid?.() === 0;
    const readOnly = mkdtempSync(path('read-only-'));
    chmodSync(folder, 0o755);
    chmodSync(readOnly, 0o555);
    const nobody = 65_534;
    const run = await runCli([...TRAIN, '--run-dir', join(readOnly, 'run')], root ? { uid: nobody } : {});
    expectRefusal(run, 'E_RUN_DIR', /a folder that can be written, got EACCES/, /grant the right to write/);
  });
});

describe('what is asked of a model', () => {
  test('needs rows, the target and a place to write', async () => {
    const rows = '{"x":[1,2],"y":0}\n';
    const [empty, headless, target, missing] = await Promise.all([
      runCli(['predict', used, write('empty.jsonl', '')]),
      runCli(['predict', used, write('header.csv', 'x,y\n')]),
      runCli(['eval', used, write('target.jsonl', rows.replace(',"y":0', ''))]),
      runCli(['export', used, path('no', 'such', 'model.safetensors')]),
    ]);
    expectRefusal(empty, 'E_DATA_EMPTY', /empty\.jsonl: expected at least one row, got none/);
    expectRefusal(headless, 'E_DATA_EMPTY', /header\.csv/);
    expectRefusal(target, 'E_DATA_MISSING', /target\.jsonl line 1, column "y"/);
    expectRefusal(missing, 'E_OPTION', /a file that can be written, got ENOENT/, /in a folder that exists/);
  });
});

test('a second Ctrl-C ends the run at once, and what it leaves is taken up', async () => {
  const runDir = path('twice');
  const job = write(
    'stuck.mts',
    `import job from '${new URL('../fixtures/small-job.ts', import.meta.url).href}';
// The third epoch never ends: only a second signal gets past it.
const never = () => new Promise<void>((resolve) => void setInterval(resolve, 2 ** 30));
const callbacks = { onEpochEnd: ({ epoch }: { epoch: number }) => (epoch === 3 ? never() : undefined) };
export default { ...job, checkpoint: { everySteps: 1 }, callbacks };
`,
  );
  let first = 0;
  const { code, signal, stderr } = await runCli(['train', job, '-w', '1', '--run-dir', runDir], {
    onStderr: (text, child) => {
      if (first === 0 && text.includes('\nepoch 3/')) {
        first = performance.now();
        child.kill('SIGINT');
        // What comes soon after is the same key press: keep pressing until it is over.
        const again = setInterval(() => child.kill('SIGINT'), 100);
        child.on('close', () => clearInterval(again));
      }
    },
  });
  expect(stderr).toContain('stopping after the step in progress; once more kills\n');
  expect({ code, signal }).toEqual({ code: null, signal: 'SIGINT' });
  expect(readdirSync(join(runDir, 'checkpoints')).some((name) => name.startsWith('step-'))).toBe(true);
  for (const name of readdirSync(join(runDir, 'checkpoints')))
    expect(name).toMatch(/^(step-\d{8}|\.(writing|deleting)-.*)$/);
  const args = ['train', SMALL_JOB, '-w', '1', '--json', '--run-dir', runDir, '--resume', 'auto'];
  const again = await runCli(args);
  expect(again.stderr).toMatch(/note: took over the run folder of process \d+, which ended without giving it up/);
  expect(JSON.parse(again.stdout)).toMatchObject({ stopped: 'epochs', step: 12 });
});
