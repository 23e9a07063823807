import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkpointsFolder, findCheckpoint, listCheckpoints } from '../../src/checkpoint/store.ts';
import { nodeFs } from '../../src/checkpoint/store-fs.ts';
import { CheckpointWriter } from '../../src/checkpoint/writer.ts';
import { Child } from './child.ts';
import { bigSample, sample } from './sample.ts';

let runDir: string;
let writer: CheckpointWriter;
beforeEach(() => {
  runDir = mkdtempSync(join(tmpdir(), 'lockstep-writer-'));
  writer = new CheckpointWriter();
});
afterEach(async () => {
  await writer.close();
  rmSync(runDir, { recursive: true, force: true });
});

const steps = () => listCheckpoints(nodeFs, runDir).map(({ step }) => step);

describe('the checkpoint writer', () => {
  it('saves shared memory as it is, in its thread', async () => {
    const request = sample(runDir, 3);
    const saving = writer.save(request);
    expect(writer.busy).toBe(true);
    const outcome = await saving;
    expect(outcome).toMatchObject({ ok: true, step: 3, deleted: [] });
    expect(outcome.seconds).toBeGreaterThan(0);
    expect(writer.busy).toBe(false);
    const { checkpoint } = findCheckpoint(nodeFs, runDir);
    expect(checkpoint.parameters).toEqual(new Float32Array(request.parameters));
    expect(checkpoint.slots).toEqual(request.slots.map((slot) => new Float32Array(slot)));
    expect(checkpoint.manifest).toMatchObject({ ...request.facts });
  });

  it('saves one after another, in the order asked for', async () => {
    const order: number[] = [];
    const saves = [1, 2, 3].map(async (step) => {
      const outcome = await writer.save({ ...sample(runDir, step), retention: { keepLast: 2 } });
      order.push(step);
      // While a save is under way there is at most its own temporary folder.
      const temporary = readdirSync(checkpointsFolder(runDir)).filter((name) => name.startsWith('.'));
      expect(temporary.length).toBeLessThanOrEqual(1);
      return outcome;
    });
    expect(await Promise.all(saves)).toMatchObject([{ deleted: [] }, { deleted: [] }, { deleted: [1] }]);
    expect(order).toEqual([1, 2, 3]);
    expect(steps()).toEqual([3, 2]);
  });

  it('reports a failure and saves again when the cause is gone', async () => {
    expect(await writer.save(sample(runDir, 1))).toMatchObject({ ok: true });
    const other = join(runDir, 'other');
    mkdirSync(other);
    writeFileSync(join(other, 'checkpoints'), 'a file where the folder should be');
    expect(await writer.save(sample(other, 2))).toMatchObject({ ok: false, step: 2, reason: { kind: 'other' } });
    const bad = sample(runDir, 2);
    const facts = { ...bad.facts, job: () => 'no plain data' };
    const failed = await writer.save({ ...bad, facts });
    expect(failed).toMatchObject({ ok: false, reason: { message: expect.stringContaining('could not be cloned') } });
    expect(await writer.save(sample(runDir, 3))).toMatchObject({ ok: true });
    expect(steps()).toEqual([3, 1]);
  });

  it('finishes what was asked for before it closes, and refuses afterwards', async () => {
    const saving = writer.save(sample(runDir, 1));
    await writer.close();
    expect(await saving).toMatchObject({ ok: true });
    expect(await writer.save(sample(runDir, 2))).toMatchObject({ ok: false, reason: { message: /closed/ } });
    expect(steps()).toEqual([1]);
  });
});

describe('a process that saves', () => {
  it('ends by itself when its work is done: an idle writer holds nobody back', async () => {
    const child = new Child('saving-process', [runDir, '1', '2']);
    expect([await child.line(), await child.line(), await child.line()]).toEqual(['1', '2', undefined]);
    expect(await child.exitCode).toBe(0);
  });
});

describe('a process that saves, killed with SIGKILL', () => {
  it('at random moments leaves a whole newest checkpoint, no older than the last that was reported', async () => {
    let next = 1;
    for (let round = 0; round < 5; round++) {
      const child = new Child('saving-process', [runDir, String(next), 'Infinity']);
      let reported = Number(await child.line());
      expect(reported).toBe(next);
      // Steps are written all the time: any moment falls into one.
      const killed = new Promise<void>((resolve) => setTimeout(resolve, 60 * Math.random()));
      await killed;
      await child.end('SIGKILL');
      for (let line = await child.line(); line !== undefined; line = await child.line()) reported = Number(line);

      const { checkpoint, refused } = findCheckpoint(nodeFs, runDir);
      expect(refused).toEqual([]);
      expect(checkpoint.step).toBeGreaterThanOrEqual(reported);
      const { parameters, slots } = bigSample(runDir, checkpoint.step);
      expect(Buffer.compare(bytes(checkpoint.parameters), bytes(parameters))).toBe(0);
      expect(checkpoint.slots.map((slot, i) => Buffer.compare(bytes(slot), bytes(slots[i])))).toEqual([0, 0]);
      next = checkpoint.step + 1;
    }
    await writer.save(bigSample(runDir, next));
    expect(readdirSync(checkpointsFolder(runDir)).filter((name) => !/^step-\d{8}$/.test(name))).toEqual([]);
    expect(existsSync(join(checkpointsFolder(runDir), `step-${String(next).padStart(8, '0')}`))).toBe(true);
  });
});

const bytes = (array: Float32Array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
