import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { saveCheckpoint } from '../../src/checkpoint/save.ts';
import { findCheckpoint, listCheckpoints, readCheckpoint, removeLeftovers } from '../../src/checkpoint/store.ts';
import { LockstepError } from '../../src/errors.ts';
import { errno, MemoryFs } from './memory-fs.ts';
import { sample } from './sample.ts';

const RUN = '/run';

function emptyRun(): MemoryFs {
  const fs = new MemoryFs();
  fs.makeFolder(RUN);
  fs.syncFolder('/');
  return fs;
}

const steps = (fs: MemoryFs) => listCheckpoints(fs, RUN).map(({ step }) => step);
/** Names of work in progress. */
const leftovers = (fs: MemoryFs) => fs.paths().filter((path) => /\/\.|\.replaced/.test(path));

/** The newest whole checkpoint, having checked that every number in it is that of its save. */
function newest(fs: MemoryFs, salts: readonly number[] = [0]): { step: number; salt: number } {
  const { checkpoint } = findCheckpoint(fs, RUN);
  const salt = salts.find((s) => sample(RUN, checkpoint.step, s).parameters[0] === checkpoint.parameters[0]);
  if (salt === undefined) throw new Error('parameters of no save');
  const request = sample(RUN, checkpoint.step, salt);
  expect(checkpoint.parameters).toEqual(new Float32Array(request.parameters));
  expect(checkpoint.slots).toEqual(request.slots.map((slot) => new Float32Array(slot)));
  return { step: checkpoint.step, salt };
}

function randomFrom(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * (n + 1));
  };
}

describe('the store', () => {
  it('gives back what was saved, every bit of it', () => {
    const fs = emptyRun();
    const request = sample(RUN, 12);
    const outcome = saveCheckpoint(fs, request);
    expect(outcome).toMatchObject({ ok: true, step: 12, path: '/run/checkpoints/step-00000012', deleted: [] });
    const { checkpoint, refused } = findCheckpoint(fs, RUN);
    expect(refused).toEqual([]);
    expect(newest(fs)).toEqual({ step: 12, salt: 0 });
    const { files, format, version, savedAt, ...facts } = checkpoint.manifest;
    expect(facts).toEqual(request.facts);
    expect(Object.is(facts.optimizer.state.d, -0)).toBe(true);
    expect(files.map(({ name }) => name)).toEqual(['parameters.safetensors', 'optimizer.safetensors']);
    expect(leftovers(fs)).toEqual([]);
    expect(fs.paths()).toEqual([
      'run/',
      'run/checkpoints/',
      'run/checkpoints/step-00000012/',
      'run/checkpoints/step-00000012/parameters.safetensors',
      'run/checkpoints/step-00000012/optimizer.safetensors',
      'run/checkpoints/step-00000012/manifest.json',
    ]);
  });

  it('leaves the slots out for prediction', () => {
    const fs = emptyRun();
    saveCheckpoint(fs, sample(RUN, 1));
    expect(findCheckpoint(fs, RUN, 'model').checkpoint.slots).toEqual([]);
    expect(findCheckpoint(fs, RUN).checkpoint.slots.length).toBeGreaterThan(0);
  });

  it('takes short writes as they come', () => {
    const fs = emptyRun();
    fs.shorten = (length) => Math.ceil(length / 3);
    expect(saveCheckpoint(fs, sample(RUN, 3)).ok).toBe(true);
    expect(newest(fs)).toEqual({ step: 3, salt: 0 });
  });

  it('lists by step, and only what is committed', () => {
    const fs = emptyRun();
    expect(steps(fs)).toEqual([]);
    for (const step of [5, 100, 20, 123456789]) saveCheckpoint(fs, sample(RUN, step));
    for (const name of ['.writing-step-00000200', '.deleting-step-00000300', 'step-300', 'step-000000400', 'other']) {
      fs.makeFolder(`/run/checkpoints/${name}`);
    }
    expect(steps(fs)).toEqual([123456789, 100, 20, 5]);
    expect(removeLeftovers(fs, RUN)).toEqual(['.writing-step-00000200', '.deleting-step-00000300']);
  });

  it('applies the retention policy after a save, by the metric of each manifest', () => {
    const fs = emptyRun();
    const retention = { keepLast: 2, keepBest: { monitor: 'val.loss', mode: 'max', count: 1 } } as const;
    for (const step of [1, 2, 3, 4]) saveCheckpoint(fs, { ...sample(RUN, step), retention });
    expect(steps(fs)).toEqual([4, 3, 1]);
    expect(saveCheckpoint(fs, { ...sample(RUN, 5), retention })).toMatchObject({ ok: true, deleted: [3] });
    expect(leftovers(fs)).toEqual([]);
  });

  it('refuses to write a manifest that could not be read', () => {
    const fs = emptyRun();
    const request = sample(RUN, 1);
    const facts = { ...request.facts, shards: 0 };
    expect(saveCheckpoint(fs, { ...request, facts })).toMatchObject({ ok: false, reason: { kind: 'other' } });
    expect(steps(fs)).toEqual([]);
    expect(leftovers(fs)).toEqual([]);
  });
});

describe('damage', () => {
  const FILES = ['parameters.safetensors', 'optimizer.safetensors', 'manifest.json'];

  it.each(FILES)('in %s: the one before is taken, and it says so', (file) => {
    const path = `/run/checkpoints/step-00000002/${file}`;
    const flip = (data: Uint8Array) => {
      data[Math.floor(data.length / 2)] ^= 1;
      return data;
    };
    for (const change of [flip, (d: Uint8Array) => d.slice(0, -1), (d: Uint8Array) => Uint8Array.of(...d, 0)]) {
      const fs = emptyRun();
      for (const step of [1, 2]) saveCheckpoint(fs, sample(RUN, step));
      fs.damage(path, change);
      // A flipped bit in a text may leave a manifest of the same meaning; it must not leave another one.
      const { checkpoint, refused } = findCheckpoint(fs, RUN);
      if (file === 'manifest.json' && checkpoint.step === 2) continue;
      expect(checkpoint.step).toBe(1);
      expect(refused).toHaveLength(1);
      expect(refused[0].path).toBe('/run/checkpoints/step-00000002');
      expect(refused[0].error.code).toBe('E_CHECKPOINT');
    }
  });

  it.each(FILES)('a missing %s is refused', (file) => {
    const fs = emptyRun();
    saveCheckpoint(fs, sample(RUN, 2));
    fs.remove(`/run/checkpoints/step-00000002/${file}`);
    expect(() => findCheckpoint(fs, RUN)).toThrow(/expected a checkpoint, got .*nothing/);
  });

  it('everywhere: none is whole, and each reason is named', () => {
    const fs = emptyRun();
    for (const step of [1, 2]) saveCheckpoint(fs, sample(RUN, step));
    for (const step of [1, 2]) fs.damage(`/run/checkpoints/step-0000000${step}/manifest.json`, () => new Uint8Array());
    expect(() => findCheckpoint(fs, RUN)).toThrow(/step-00000002.*step-00000001.*train anew/);
    expect(() => findCheckpoint(fs, '/elsewhere')).toThrow(/expected a checkpoint, got none/);
  });

  it('a checkpoint under the name of another step is refused', () => {
    const fs = emptyRun();
    saveCheckpoint(fs, sample(RUN, 2));
    fs.rename('/run/checkpoints/step-00000002', '/run/checkpoints/step-00000009');
    expect(() => findCheckpoint(fs, RUN)).toThrow(/expected step 9, got step 2/);
  });
});

describe('a file system that fails', () => {
  const kinds = { ENOSPC: 'full', EDQUOT: 'full', EROFS: 'read-only', EACCES: 'read-only', EIO: 'io' } as const;

  it('in any single call: the outcome says so, an old or the new checkpoint stays, and the next save works', () => {
    for (const [code, kind] of Object.entries(kinds)) {
      for (let at = 1, failed = true; failed; at++) {
        const fs = emptyRun();
        saveCheckpoint(fs, { ...sample(RUN, 1) });
        const first = fs.calls;
        failed = false;
        fs.before = (call) => {
          if (call !== first + at) return;
          failed = true;
          throw errno(code);
        };
        const outcome = saveCheckpoint(fs, { ...sample(RUN, 2), retention: { keepLast: 1 } });
        fs.before = () => {};
        if (!outcome.ok) expect(outcome.reason).toEqual({ kind, message: `${code}: injected` });
        expect([1, 2]).toContain(newest(fs).step);
        if (outcome.ok) expect(newest(fs).step).toBe(2);
        expect(saveCheckpoint(fs, { ...sample(RUN, 3), retention: { keepLast: 1 } })).toMatchObject({ ok: true });
        expect(newest(fs).step).toBe(3);
        expect(leftovers(fs)).toEqual([]);
        if (!failed) expect(outcome.ok).toBe(true);
      }
    }
  });

  it('from a call on and for good: what was there stays', () => {
    for (let at = 1, failed = true; failed; at++) {
      const fs = emptyRun();
      saveCheckpoint(fs, sample(RUN, 1));
      const first = fs.calls;
      failed = false;
      fs.before = (call, name) => {
        if (call < first + at || !['write', 'sync', 'makeFolder', 'rename', 'syncFolder'].includes(name)) return;
        failed = true;
        throw errno('ENOSPC');
      };
      const outcome = saveCheckpoint(fs, sample(RUN, 2));
      fs.before = () => {};
      expect(outcome.ok).toBe(!failed);
      expect([1, 2]).toContain(newest(fs).step);
    }
  });

  it('in every call of the first save: nothing is there, and nothing is half there', () => {
    for (let at = 1, failed = true; failed; at++) {
      const fs = emptyRun();
      const first = fs.calls;
      failed = false;
      fs.before = (call) => {
        failed ||= call === first + at;
        if (call === first + at) throw errno('ENOSPC');
      };
      const outcome = saveCheckpoint(fs, sample(RUN, 1));
      fs.before = () => {};
      expect(saveCheckpoint(fs, sample(RUN, 2)).ok).toBe(true);
      expect(leftovers(fs)).toEqual([]);
      expect(steps(fs).includes(1) || !outcome.ok).toBe(true);
    }
  });

  it('while reading: an error, not a crash', () => {
    const fs = emptyRun();
    saveCheckpoint(fs, sample(RUN, 1));
    fs.before = (_, name) => {
      if (name === 'read') throw errno('EIO');
    };
    expect(() => findCheckpoint(fs, RUN)).toThrow(LockstepError);
  });
});

describe('a crash at any call', () => {
  class Crash extends Error {}

  /** Runs `save` until call `at`, loses power there, and gives what the disk may hold. */
  function crash(fs: MemoryFs, at: number, save: () => void, seed: number): { disk: MemoryFs; finished: boolean } {
    const first = fs.calls;
    let crashed = false;
    fs.before = (call) => {
      if (call < first + at) return;
      crashed = true;
      throw new Crash('power loss');
    };
    save();
    const disk = fs.afterPowerLoss(randomFrom(seed));
    for (const { path } of listCheckpoints(disk, RUN)) readCheckpoint(disk, path); // whatever has a name is whole
    return { disk, finished: !crashed };
  }

  const seeds = fc.sample(fc.integer(), { numRuns: 8, seed: 1 });

  it('leaves the old or the new checkpoint whole, the new one once the save has returned', () => {
    const outcomes = new Set<string>();
    for (const seed of seeds) {
      for (let at = 1, finished = false; !finished; at++) {
        const fs = emptyRun();
        saveCheckpoint(fs, sample(RUN, 1));
        const result = crash(fs, at, () => saveCheckpoint(fs, { ...sample(RUN, 2), retention: { keepLast: 1 } }), seed);
        finished = result.finished;
        const { step } = newest(result.disk);
        outcomes.add(`${step}${finished ? ', finished' : ''}`);
        expect([1, 2]).toContain(step);
        if (finished) expect(step).toBe(2);
        expect(saveCheckpoint(result.disk, sample(RUN, 3)).ok).toBe(true);
        expect(newest(result.disk).step).toBe(3);
        expect(leftovers(result.disk)).toEqual([]);
      }
    }
    expect([...outcomes].sort()).toEqual(['1', '2', '2, finished']); // both happen: the test can tell them apart
  });

  it('likewise where the new one replaces one of the same step', () => {
    const outcomes = new Set<string>();
    for (const seed of seeds) {
      for (let at = 1, finished = false; !finished; at++) {
        const fs = emptyRun();
        saveCheckpoint(fs, sample(RUN, 5, 0));
        const result = crash(fs, at, () => saveCheckpoint(fs, sample(RUN, 5, 0.125)), seed);
        finished = result.finished;
        const { step, salt } = newest(result.disk, [0, 0.125]);
        outcomes.add(`${salt}${finished ? ', finished' : ''}`);
        expect(step).toBe(5);
        if (finished) expect(salt).toBe(0.125);
        removeLeftovers(result.disk, RUN);
        expect(newest(result.disk, [0, 0.125])).toEqual({ step, salt });
        expect(leftovers(result.disk)).toEqual([]);
        expect(steps(result.disk)).toEqual([5]);
      }
    }
    expect([...outcomes].sort()).toEqual(['0', '0.125', '0.125, finished']);
  });
});
