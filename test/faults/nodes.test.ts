import { type Job, type TrainResult, train } from 'lockstep';
import { runCoordinator, runNode } from 'lockstep/cluster';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { MESSAGE_FAULTS, type MessageFault } from '../../cluster/faults/message-fault.ts';
import { type Direction, FaultyProxy } from '../../cluster/faults/proxy.ts';
import type { WireFrame } from '../../cluster/faults/websocket-stream.ts';
import { makeToken } from '../../cluster/security.ts';
import job from '../fixtures/cluster-job.ts';
import { philox } from '../fixtures/philox.ts';
import {absent, 
  type ClusterProcess, endProcesses, headerOf, livingProcesses, ofType, present, startGated, startNode, startProcess,
} from '../support/cluster.ts'; // biome-ignore format: a list

// Real processes and sockets. One node is steady, the other has whatever can happen to a node; the run waits at every evaluation until
// the other is back, so that each fault meets a whole cluster. Whatever happens: the bytes of an undisturbed run, and nothing left behind.

const token = makeToken();
const plain = job as unknown as Job;
let undisturbed: TrainResult;
beforeAll(async () => {
  undisturbed = await train(plain, { workers: 1 });
});

const ends: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
  await endProcesses();
});

const losses = ({ history }: Pick<TrainResult, 'history'>) => history.map(({ step, loss, gradNorm }) => [step, loss, gradNorm]); // biome-ignore format: a row

function expectUndisturbed(result: TrainResult): void {
  expect(result.parametersSha256).toBe(undisturbed.parametersSha256);
  expect(losses(result)).toEqual(losses(undisturbed)); // every step once
  expect(result.metrics).toEqual(undisturbed.metrics);
}

async function proxyTo(port: number): Promise<FaultyProxy> {
  const proxy = await FaultyProxy.start({ target: { port } });
  ends.push(() => proxy.close());
  return proxy;
}

const url = (port: number) => `ws://127.0.0.1:${port}`;

test('a node that is killed in any phase, or stopped, costs time and no bit', async () => {
  const phases: [Direction, string][] = [
    ['up', 'hello'],
    ['down', 'welcome'],
    ['down', 'parameters'],
    ['down', 'compute'],
    ['up', 'sums'],
    ['up', 'done'],
  ];
  let victim: ClusterProcess | undefined;
  let proxy: FaultyProxy | undefined;
  const start = () => startProcess('node', { url: proxy?.url, token, name: 'victim', workers: 1 });
  const left: unknown[] = [];
  let killed = Promise.resolve();
  const run = await startGated(plain, { token, deadlines: { heartbeatMs: 200, silenceMs: 2000 } }, async (evaluation, it) => {
    proxy ??= await proxyTo(it.port);
    await killed; // the run may have gone on before its end is known here
    if (evaluation < phases.length) {
      const [direction, type] = phases[evaluation];
      const passing = proxy.passing(direction, ofType(type));
      const next = start();
      if (type !== 'hello' && type !== 'welcome') await present(it, 'victim');
      // Killed while the run goes on, or joining; another takes its place.
      killed = passing.then(async () => {
        next.child.kill('SIGKILL');
        left.push(await next.exited);
      });
      if (type === 'hello' || type === 'welcome') await killed;
    } else if (evaluation === phases.length) {
      const last = start();
      victim = last;
      await present(it, 'victim');
      const from = it.heard.events.length;
      void proxy.passing('down', ofType('compute')).then(async () => {
        last.child.kill('SIGSTOP');
        const { reason } = await it.heard.first(({ kind }) => kind === 'left', from);
        left.push(reason);
        last.child.kill('SIGCONT');
      });
    } else if (evaluation === phases.length + 1) await present(it, 'victim'); // woken, it has joined again
  }); // biome-ignore format: a story
  const steady = startNode(plain, { url: url(run.port), token, name: 'steady' });
  expectUndisturbed(await run.result);
  expect(left).toEqual([
    ...phases.map(() => ({ code: null, signal: 'SIGKILL' })),
    expect.stringMatching(/nothing came/),
  ]);
  expect((await steady).failed).toBe(false);
  expect((await victim?.exited)?.code).toBe(0);
  expect(livingProcesses()).toBe(0);
}, 120_000);

describe('a message that the network damages', () => {
  const types: [Direction, string][] = [
    ['down', 'parameters'],
    ['down', 'compute'],
    ['up', 'sums'],
    ['up', 'done'],
  ];
  // Each fault at each message, two of them where it takes a deadline to notice.
  const cases = MESSAGE_FAULTS.flatMap((fault) =>
    types
      .filter(([, type]) => fault !== 'drop' || type === 'compute' || type === 'done')
      .map((t) => [fault, ...t] as const),
  );
  const soak = process.env.LOCKSTEP_SOAK_ROUNDS !== undefined;
  const rounds = Number(process.env.LOCKSTEP_SOAK_ROUNDS ?? 1);
  const halves = [
    cases.filter((_, i) => i % 4 === 0 || i % 4 === 3),
    cases.filter((_, i) => i % 4 === 1 || i % 4 === 2),
  ];

  test.each(Array.from({ length: rounds }, (_, i) => i))(
    'is noticed, and nobody takes it for a result (round %i)',
    async (round) => {
      // One half of them, unless in the long version.
      for (const [half, some] of halves.slice(0, soak ? 2 : 1).entries()) {
        const random = philox(100 * round + half);
        let proxy: FaultyProxy | undefined;
        let shaken: ReturnType<typeof runNode> | undefined;
        const happened: [MessageFault, string][] = [];
        const run = await startGated(plain, { token, deadlines: { stepMs: 2500 } }, async (evaluation, it) => {
          proxy ??= await proxyTo(it.port);
          shaken ??= startNode(plain, { url: proxy.url, token, name: 'shaken' });
          await present(it, 'shaken');
          const next = some[evaluation];
          if (!next) return;
          const [fault, direction, type] = next;
          void proxy
            .damage(fault, direction, { wanted: ofType(type), random })
            .then(() => happened.push([fault, type]));
        });
        const steady = startNode(plain, { url: url(run.port), token, name: 'steady' });
        expectUndisturbed(await run.result);
        expect(happened).toEqual(some.map(([fault, , type]) => [fault, type]));
        expect((await Promise.all([steady, shaken])).map((node) => node?.failed)).toEqual([false, false]);
      }
    },
    180_000,
  );

  test('in the state that a joining node receives, or its proof, is noticed, too', async () => {
    // A node each, at the same time: whoever is refused waits twice as long before it dials again.
    const late: [Direction, string][] = [
      ['up', 'hello'],
      ['down', 'welcome'],
    ];
    const faults = ['flip', 'truncate', 'cut'] as const;
    const happened: [MessageFault, string][] = [];
    const ended: ReturnType<typeof runNode>[] = [];
    const run = await startGated(plain, { token }, async (evaluation, it) => {
      if (evaluation === 0) {
        for (const [direction, type] of late) {
          const proxy = await proxyTo(it.port);
          const first = { wanted: ofType(type), random: philox(3) };
          for (const fault of faults)
            void proxy.damage(fault, direction, first).then(() => happened.push([fault, type]));
          ended.push(startNode(plain, { url: proxy.url, token, name: `late after ${type}` }));
        }
      }
      for (const [, type] of late) await present(it, `late after ${type}`);
      expect(it.heard.events.filter(({ kind }) => kind === 'refused').length).toBeGreaterThan(0);
    });
    const steady = startNode(plain, { url: url(run.port), token, name: 'steady' });
    expectUndisturbed(await run.result);
    expect(happened).toHaveLength(late.length * faults.length);
    expect((await Promise.all([steady, ...ended])).map(({ failed }) => failed)).toEqual([false, false, false]);
  }, 120_000);
});

test('a partition of one node is noticed by its silence; when it ends, what was held comes too late and changes nothing', async () => {
  let proxy: FaultyProxy | undefined;
  let shaken: ReturnType<typeof runNode> | undefined;
  const reasons: unknown[] = [];
  const options = { token, deadlines: { heartbeatMs: 100, silenceMs: 1000 } };
  const run = await startGated(plain, options, async (evaluation, it) => {
    proxy ??= await proxyTo(it.port);
    shaken ??= startNode(plain, { url: proxy.url, token, name: 'shaken' });
    if (evaluation > 4) return;
    await present(it, 'shaken'); // after the last of them, too: nobody would answer it once the run is over
    if (evaluation === 4) return;
    const hold = evaluation % 2 === 0 ? (['up'] as const) : (['up', 'down'] as const);
    void proxy
      .passing('up', (message) => headerOf(message).type === 'sums')
      .then(async () => {
        proxy?.hold(...hold);
        await absent(it, 'shaken');
        reasons.push(it.heard.events.findLast(({ kind }) => kind === 'left')?.reason);
        proxy?.heal();
      });
  });
  const steady = startNode(plain, { url: url(run.port), token, name: 'steady' });
  expectUndisturbed(await run.result);
  expect(reasons).toHaveLength(4);
  await Promise.all([steady, shaken]);
}, 120_000); // biome-ignore format: a story

test('a node whose connection breaks at the end hears of the end when it dials again', async () => {
  const steps = 6;
  const short = { ...plain, steps, evaluate: undefined } as Job;
  const nodes: ReturnType<typeof runNode>[] = [];
  let proxy: FaultyProxy | undefined;
  const result = await runCoordinator(short, {
    token,
    port: 0,
    workers: 1,
    startNodes: 2,
    onListening: async ({ port }) => {
      proxy = await proxyTo(port);
      const last = (message: readonly WireFrame[]) => {
        const { type, round } = headerOf(message);
        return type === 'done' && round === steps;
      };
      void proxy.damage('cut', 'up', { wanted: last });
      nodes.push(
        startNode(short, { url: url(port), token, name: 'steady' }),
        startNode(short, { url: proxy.url, token, name: 'shaken' }),
      );
    },
  });
  expect(result.step).toBe(steps);
  expect(await Promise.all(nodes)).toMatchObject([
    { failed: false, reason: 'the run is over' },
    { failed: false, reason: 'the run is over' },
  ]);
}, 60_000);

describe('who may not take part is told why', () => {
  test('another token, job, data, kernels', async () => {
    const run = await startGated(plain, { token }, async () => undefined);
    const refused = async (other: object, given: object = {}) => {
      const error = await runNode({ ...plain, ...other } as Job, { url: url(run.port), token, workers: 1, ...given }).catch((e: unknown) => e);
      return error as Error & { code: string };
    };
    const wrong = [
      await refused({}, { token: makeToken() }),
      await refused({}, { token: undefined }),
      await refused({ seed: 6 }),
      await refused({ clip: { globalNorm: 2 } }),
      await refused({ data: { ...plain.data, validation: 0.3 } }),
    ];
    expect(wrong.map(({ code }) => code)).toEqual(wrong.map(() => 'E_REFUSED'));
    for (const [i, message] of [/token/, /token/, /data\.train.*seed/, /clip|globalNorm/, /data\.rows/].entries())
      expect(wrong[i].message).toMatch(message);
    const other = startProcess('node', { url: url(run.port), token, workers: 1 }, { env: { LOCKSTEP_SIMD: 'simd128' } });
    expect(await other.heard.first(({ kind }) => kind === 'error')).toMatchObject({ code: 'E_REFUSED', message: expect.stringMatching(/kernels/) }); // biome-ignore format: a row
    expect((await other.exited).code).toBe(1);
    expect(run.heard.events.filter(({ kind }) => kind === 'joined')).toEqual([]);
    const refusals = run.heard.events.filter(({ kind }) => kind === 'refused');
    const looked = refusals.filter(({ reason }) => !/failed joins/.test(String(reason)));
    expect(looked).toHaveLength(wrong.length + 1); // each once
    expect(refusals[0]).toMatchObject({ address: expect.stringMatching(/^127\.0\.0\.1/), reason: expect.stringMatching(/token/) });
    const steady = startNode(plain, { url: url(run.port), token, name: 'steady' });
    expectUndisturbed(await run.result);
    await steady;
  }, 120_000); // biome-ignore format: a story
});
