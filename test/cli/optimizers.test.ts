import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { readCommandLine } from '../../src/cli/commands.ts';
import { OPTIMIZERS, WRAPPERS } from '../../src/optim/catalogue.ts';

async function printed(...args: string[]): Promise<string[]> {
  const request = readCommandLine(['optimizers', ...args], '1');
  if (request.kind !== 'work') throw new Error(request.text);
  const lines: string[] = [];
  await request.run({
    out: (line) => lines.push(line),
    write: async () => {},
    progress: new PassThrough(),
    input: new PassThrough(),
    stop: new AbortController().signal,
  });
  return lines;
}

test('lists every optimizer on a line', async () => {
  const first = (await printed()).map((line) => line.split(' ')[0]);
  for (const kind of [...Object.keys(OPTIMIZERS), ...Object.keys(WRAPPERS)]) {
    expect(first.filter((word) => word === kind)).toHaveLength(1);
  }
});

test('prints rule, limits, state, defaults, compat and paper of one', async () => {
  const text = (await printed('adam')).join('\n');
  for (const part of [
    /^rule +m, v <-/m,
    /^when +the default/m,
    /^limits /m,
    /^state +8 bytes a parameter \(m 4, v 4\)$/m,
    /^paper +Kingma & Ba/m,
    /^betas +\[0.9,0.999\] +2 numbers, each >= 0 and < 1$/m,
    /^compat: 'keras' +eps 1e-7, epsHat true, decoupled true$/m,
  ]) {
    expect(text).toMatch(part);
  }
});

test('--json is one line', async () => {
  const [line, ...more] = await printed('lion', '--json');
  expect(more).toEqual([]);
  expect(JSON.parse(line)).toMatchObject({ kind: 'lion', defaultLr: 1e-4, bytesPerParameter: 4 });
  expect(JSON.parse((await printed('--json'))[0])).toHaveLength(
    Object.keys(OPTIMIZERS).length + Object.keys(WRAPPERS).length,
  );
});
