import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { allocated } from '../../scripts/bench/memory.ts';
import { PeerError, PeerProcess } from '../../scripts/bench/protocol.ts';

const open: PeerProcess[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((peer) => peer.close()));
});

function peer(code: string): PeerProcess {
  const process_ = new PeerProcess({ name: 'peer', command: process.execPath, args: ['-e', code], env: {} });
  open.push(process_);
  return process_;
}

const ECHO = `
  console.log('welcome to the framework');
  require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const request = JSON.parse(line);
    if (request.cmd === 'close') process.exit();
    if (request.cmd === 'die') { console.error('out of memory'); process.exit(3); }
    console.log(JSON.stringify(request.cmd === 'fail' ? { error: 'no such model' } : { twice: 2 * request.n }));
  });`;
const Twice = z.object({ twice: z.number() });

describe('a peer', () => {
  test('answers in order, whatever else it prints', async () => {
    const echo = peer(ECHO);
    expect(await echo.ask({ cmd: 'n', n: 3 }, Twice)).toEqual({ twice: 6 });
    expect(await echo.ask({ cmd: 'n', n: 4 }, Twice)).toEqual({ twice: 8 });
  });

  test('may refuse, and goes on', async () => {
    const echo = peer(ECHO);
    await expect(echo.ask({ cmd: 'fail' }, Twice)).rejects.toThrow(new PeerError('peer: no such model'));
    expect(await echo.ask({ cmd: 'n', n: 1 }, Twice)).toEqual({ twice: 2 });
  });

  test('that dies says with what words', async () => {
    await expect(peer(ECHO).ask({ cmd: 'die' }, Twice)).rejects.toThrow('peer ended: out of memory');
  });

  test('that cannot be started is an error, not a hang', async () => {
    const none = new PeerProcess({ name: 'none', command: '/no/such/program', args: [], env: {} });
    open.push(none);
    await expect(none.ask({ cmd: 'n' }, Twice)).rejects.toThrow(/none ended: .*ENOENT/);
  });
});

test('allocation is summed by thread; the first to collect is the main one', () => {
  const trace = [
    '[1:0xa]  39 ms: pause=5.3 mutator=28.0 gc=mc allocated=1000 promoted=0',
    '[1:0xb]  41 ms: pause=0.3 mutator=28.0 gc=s allocated=10 promoted=0',
    'RESULT {}',
    '[1:0xa]  50 ms: pause=0.3 mutator=28.0 gc=s allocated=500 promoted=0',
    '[1:0xc]  51 ms: pause=0.3 mutator=28.0 gc=s allocated=7 promoted=0',
  ].join('\n');
  expect(allocated(trace)).toEqual({ main: 1500, workers: 17 });
});
