import { expect, test } from 'vitest';
import { Farewell } from '../../cluster/farewell.ts';

const state = async (over: Promise<void>) => Promise.race([over.then(() => 'over'), new Promise((resolve) => setImmediate(resolve, 'waits'))]); // biome-ignore format: a row

test('waits for those that were lost shortly before, until they have come or their time is over', async () => {
  let now = 0;
  const farewell = new Farewell(2000, () => now);
  farewell.miss('long ago');
  now = 5000;
  farewell.miss('one');
  farewell.miss('two');
  farewell.miss('two'); // of the same name
  now = 6000;
  const over = farewell.over();
  farewell.found('one');
  farewell.found('two');
  expect(await state(over)).toBe('waits');
  farewell.found('nobody');
  expect(await state(over)).toBe('waits');
  farewell.found('two');
  expect(await state(over)).toBe('over');
});

test('nobody that was lost: nobody is waited for; who does not come is given up', async () => {
  let now = 0;
  const farewell = new Farewell(2000, () => now);
  expect(await state(farewell.over())).toBe('over');
  farewell.miss('one');
  const over = farewell.over();
  now = 1999;
  farewell.beat();
  expect(await state(over)).toBe('waits');
  now = 2000;
  farewell.beat();
  expect(await state(over)).toBe('over');
});
