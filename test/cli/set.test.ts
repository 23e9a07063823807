import { describe, expect, it } from 'vitest';
import { applySettings } from '../../src/cli/set.ts';
import { LockstepError } from '../../src/errors.ts';
import { resolveOptimizer } from '../../src/optim/catalogue.ts';
import { defineOptimizer } from '../../src/optim/custom.ts';
import { SGD } from '../../src/optim/sgd.ts';
import small from '../fixtures/small-job.ts';

const job = small as Parameters<typeof applySettings>[0];

function problem(...settings: string[]): string {
  try {
    applySettings(job, settings);
  } catch (error) {
    if (error instanceof LockstepError) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'none';
}

describe('--set', () => {
  it('gives a new job and leaves the old one as it was', () => {
    const before = { ...job, optimizer: { ...job.optimizer } };
    const changed = applySettings(job, ['optimizer.lr=0.01', 'clip.globalNorm=2', 'data.validation=0.5']);
    expect(changed.optimizer).toEqual({ ...job.optimizer, lr: 0.01 });
    expect(changed.clip).toEqual({ globalNorm: 2 });
    expect(changed.data.validation).toBe(0.5);
    expect(changed.data.train).toBe(job.data.train);
    expect(changed.model).toBe(job.model);
    expect(job).toEqual(before);
  });

  it('adds optional fields, makes what holds them, and takes fields away', () => {
    const changed = applySettings(job, [
      'earlyStopping.monitor=val.loss',
      'metrics=["accuracy","top2"]',
      'clip=undefined',
    ]);
    expect(changed.earlyStopping).toEqual({ monitor: 'val.loss' });
    expect(changed.metrics).toEqual(['accuracy', 'top2']);
    expect('clip' in changed).toBe(false);
  });

  it('applies settings in order', () => {
    expect(applySettings(job, ['epochs=2', 'epochs=7']).epochs).toBe(7);
  });

  it('may replace a learning rate by a schedule and back', () => {
    const schedule = { kind: 'cosineDecay', initial: 0.1 };
    const changed = applySettings(job, [`optimizer.lr=${JSON.stringify(schedule)}`]);
    expect(changed.optimizer.lr).toEqual(schedule);
    expect(applySettings(changed, ['optimizer.lr.initial=0.2']).optimizer.lr).toEqual({ ...schedule, initial: 0.2 });
    expect(applySettings(changed, ['optimizer.lr=0.3']).optimizer.lr).toBe(0.3);
  });

  it('may set options that the optimizer has but the job does not name', () => {
    expect(applySettings(job, ['optimizer.weightDecay=0.1']).optimizer.weightDecay).toBe(0.1);
  });

  it('keeps the definition of a custom optimizer', () => {
    const mine = defineOptimizer({ ...SGD, kind: 'mine', kernel: undefined });
    const changed = applySettings({ ...job, optimizer: mine({ lr: 0.1 }) }, ['optimizer.lr=0.2']);
    expect(resolveOptimizer(changed.optimizer).def.kind).toBe('mine');
  });

  it.each([
    ['epochs', /E_OPTION --set epochs: expected path=value/],
    ['=3', /expected path=value/],
    ['epoch=3', /did you mean "epochs"\?/],
    ['optimzer.lr=0.1', /did you mean "optimizer\.lr"\?/],
    ['lr=0.1', /did you mean "optimizer\.lr"\?/],
    ['optimizer.betaz=[0.9,0.99]', /E_OPTION .*betaz.*did you mean 'betas'\?/],
    ['optimizer.lr=fast', /expected a number, got "fast"/],
    ['clip=1', /expected .*object.*got 1/],
    ['batchSize=some', /expected a number, got "some"/],
    ['model=3', /code/],
    ['model.units=3', /code|did you mean/],
    ['data.train.rows.0=3', /no such field/],
    ['__proto__.polluted=1', /no such field/],
    ['', /expected path=value/],
  ])('%s is refused', (setting, message) => expect(problem(setting)).toMatch(message));

  it('lets "full" be a batch size', () => {
    expect(applySettings(job, ['batchSize=full']).batchSize).toBe('full');
    expect(applySettings({ ...job, batchSize: 'full' }, ['batchSize=64']).batchSize).toBe(64);
  });
});
