import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { LockstepError } from '../../src/errors.ts';
import type { Job } from '../../src/train/job.ts';
import type { TrainOptions } from '../../src/train/options.ts';
import { planRun, type RunPlan } from '../../src/train/plan-run.ts';
import { takeRunFolder } from '../../src/train/run-folder.ts';
import { train } from '../../src/train/train.ts';
import smallJob from '../fixtures/small-job.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-run-folder-'));
afterAll(() => rmSync(folder, { recursive: true }));

const job = { ...smallJob, checkpoint: { everySteps: 3, keepLast: 3 } } as unknown as Job;
const used = join(folder, 'used');
let plan: RunPlan;
let longer: RunPlan;
beforeAll(async () => {
  plan = await planRun(job);
  longer = await planRun({ ...job, epochs: 6 });
  await train(job, { workers: 1, runDir: used });
});

let copies = 0;
/** A folder that a run of 12 steps has used, with checkpoints of steps 6, 9 and 12. */
function usedFolder(): string {
  const copy = join(folder, `copy${copies++}`);
  cpSync(used, copy, { recursive: true });
  return copy;
}
const checkpoint = (runDir: string, step: number) =>
  join(runDir, 'checkpoints', `step-0000000${step}`.replace('00012', '0012'));

function refused(options: TrainOptions, p = plan): LockstepError {
  try {
    takeRunFolder(p, options).release();
  } catch (error) {
    if (error instanceof LockstepError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

function startStep(options: TrainOptions, p = plan): number | undefined {
  const { start, release } = takeRunFolder(p, options);
  release();
  return start?.warm ? 0 : start?.checkpoint.step;
}

describe('a new run', () => {
  test('is refused in a folder with checkpoints of another, and changes nothing there', () => {
    const before = readdirSync(used, { recursive: true });
    const error = refused({ runDir: used });
    expect(error.code).toBe('E_RUN_DIR');
    expect(error.message).toContain('checkpoints up to step 12');
    expect(error.detail.fix).toMatch(/--resume auto.*--run-dir/);
    expect(readdirSync(used, { recursive: true })).toEqual(before);
  });

  test("is refused where an earlier one left only its metrics, but 'auto' begins it anew", () => {
    const runDir = usedFolder();
    rmSync(join(runDir, 'checkpoints'), { recursive: true });
    expect(refused({ runDir }).message).toContain('metrics.jsonl');
    expect(startStep({ runDir, resume: 'auto' })).toBeUndefined();
  });

  test('takes a folder that is empty or that holds other files', () => {
    const runDir = join(folder, 'notes');
    mkdirSync(runDir);
    writeFileSync(join(runDir, 'notes.txt'), 'mine');
    writeFileSync(join(runDir, 'metrics.jsonl'), '');
    expect(startStep({ runDir })).toBeUndefined();
  });

  test('with a warm start needs a folder of its own, in whichever folder it finds the parameters', () => {
    for (const warmStart of [used, checkpoint(used, 9)]) {
      const error = refused({ runDir: used, warmStart });
      expect(error.code).toBe('E_RUN_DIR');
      expect(error.detail.fix).not.toContain('--resume');
      expect(startStep({ runDir: join(folder, 'warm'), warmStart })).toBe(0);
    }
  });

  test('that is refused leaves no folder behind', () => {
    const runDir = join(folder, 'never', 'made');
    expect(refused({ runDir, resume: join(folder, 'nothing') }).code).toBe('E_CHECKPOINT');
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });
});

describe('a run that goes on', () => {
  test('does so in its own folder, however that is written', () => {
    for (const runDir of [used, join(used, '..', 'used')]) {
      for (const resume of ['auto', used, checkpoint(used, 12)]) {
        expect(startStep({ runDir, resume }, longer)).toBe(12);
      }
    }
  });

  test('is refused where newer checkpoints of that folder would win over it, unless they are damaged', () => {
    const runDir = usedFolder();
    const error = refused({ runDir, resume: checkpoint(runDir, 6) }, longer);
    expect(error.message).toContain('no checkpoint after step 6');
    expect(error.message).toContain('one of step 12');
    truncateSync(join(checkpoint(runDir, 12), 'parameters.safetensors'), 10);
    expect(startStep({ runDir, resume: 'auto' }, longer)).toBe(9);
    expect(startStep({ runDir: join(folder, 'branch'), resume: checkpoint(runDir, 6) }, longer)).toBe(6);
  });

  test('is refused in the folder of another run', () => {
    const other = usedFolder();
    expect(refused({ runDir: other, resume: used }, longer).message).toContain('checkpoints up to step 12');
  });

  test('after a damaged checkpoint keeps as many whole ones as it is told, and no damaged one', async () => {
    const runDir = usedFolder();
    truncateSync(join(checkpoint(runDir, 12), 'parameters.safetensors'), 10);
    const result = await train(
      { ...job, steps: 11, checkpoint: { keepLast: 2 } },
      { workers: 1, runDir, resume: 'auto' },
    );
    expect(result).toMatchObject({ step: 11, trainedSteps: 2 });
    expect(readdirSync(join(runDir, 'checkpoints')).sort()).toEqual(['step-00000009', 'step-00000011']);
  });
});
