import { expect, test } from 'vitest';
import { LockstepError } from '../../src/errors.ts';
import { OPTIMIZERS, resolveOptimizer, WRAPPERS } from '../../src/optim/catalogue.ts';
import { allOptimizerFacts, optimizerFacts } from '../../src/optim/facts.ts';

test('the whole catalogue says what it is, with the defaults that the options have', () => {
  const all = allOptimizerFacts();
  expect(all.map(({ kind }) => kind)).toEqual([...Object.keys(OPTIMIZERS), ...Object.keys(WRAPPERS)]);
  for (const facts of all) {
    for (const text of [facts.rule, facts.when, facts.limits, facts.paper]) expect(text.length).toBeGreaterThan(5);
    for (const { allowed } of facts.options) expect(allowed).toMatch(/^(a |\d number|true or|')/);
    if (facts.wraps) continue;
    const { options } = resolveOptimizer({ kind: facts.kind, lr: 1 });
    for (const { name, default: value } of facts.options)
      expect([name, value]).toEqual([name, Reflect.get(options, name)]);
  }
});

test.each([
  ['sgd', 0],
  ['momentum', 4],
  ['adam', 8],
  ['adan', 16],
  ['muon', 4],
  ['lbfgs', 4 * 23],
  ['adafactor', (4 * 2 * 512) / 512 ** 2],
  ['ema', 4],
  ['sam', 4],
])('%s keeps %d bytes a parameter', (kind, bytes) => {
  expect(optimizerFacts(kind).bytesPerParameter).toBe(bytes);
});

test('limits read as the options are checked', () => {
  const allowed = (kind: string, name: string) => optimizerFacts(kind).options.find((o) => o.name === name)?.allowed;
  expect(allowed('adam', 'betas')).toBe('2 numbers, each >= 0 and < 1');
  expect(allowed('rprop', 'etas')).toBe('2 numbers: > 0 and < 1; > 1');
  expect(allowed('swa', 'start')).toBe('a whole number >= 1');
  expect(allowed('shampoo', 'graft')).toBe("'rmsprop' or 'none'");
});

test('an unknown name is refused with the nearest one', () => {
  const refused = () => optimizerFacts('adma');
  expect(refused).toThrow(LockstepError);
  expect(refused).toThrow("got 'adma'; did you mean 'adam'?");
  expect(() => optimizerFacts('toString')).toThrow(LockstepError);
});
