import { execFileSync } from 'node:child_process';
import { type Job, train } from 'lockstep';
import { afterAll, afterEach, expect, test } from 'vitest';
import { makeToken } from '../../cluster/security.ts';
import job from '../fixtures/cluster-job.ts';
import { endProcesses, type Said, startProcess } from '../support/cluster.ts';
import { Networks } from '../support/networks.ts';

// Hosts that are network namespaces: their own addresses, cables that can be slow and unplugged. Needs root and iproute2.

const networks = Networks.open(3);
afterEach(endProcesses);
afterAll(() => networks?.close());

test.skipIf(networks === undefined)('between hosts, over slow cables, one of which is unplugged for a while: the same bytes', async () => {
  if (!networks) return;
  const undisturbed = await train(job as unknown as Job, { workers: 1 });
  const token = makeToken();
  const [lead, ...others] = networks.hosts;
  for (const { name } of networks.hosts) networks.limit(name, '1mbit');
  const deadlines = { heartbeatMs: 200, silenceMs: 2000 };
  const listen = { host: lead.address, insecure: true, port: 0, token, workers: 1, minNodes: 2, deadlines };
  const coordinator = startProcess('coordinator', listen, { prefix: networks.inside(lead.name) });
  const { url } = await coordinator.heard.first(({ kind }) => kind === 'listening');
  expect(url).toMatch(new RegExp(`^ws://${lead.address.replaceAll('.', '\\.')}:`));
  const nodes = others.map(({ name }) => {
    const options = { url, token, name, workers: 1, deadlines };
    return startProcess('node', options, { prefix: networks.inside(name) });
  });
  const [unplugged] = others;
  const isIts = (event: Said) => (event.node as { name: string } | undefined)?.name === unplugged.name;
  // With both the steps begin; without the one they wait.
  for (const { name } of others) {
    await coordinator.heard.first(({ kind, node }) => kind === 'joined' && (node as { name: string }).name === name);
  }
  networks.unplug(unplugged.name);
  const left = await coordinator.heard.first((event) => event.kind === 'left' && isIts(event));
  expect(left.reason).toMatch(/nothing came/);
  networks.plug(unplugged.name);
  const result = await coordinator.heard.first(({ kind }) => kind === 'result' || kind === 'error');
  expect(result).toMatchObject({ parametersSha256: undisturbed.parametersSha256, metrics: undisturbed.metrics });
  expect((await coordinator.exited).code).toBe(0);
  for (const { exited } of nodes) expect((await exited).code).toBe(0);
  // Beyond loopback without a token, or without --insecure, nobody listens.
  const open = startProcess('coordinator', { ...listen, token: undefined }, { prefix: networks.inside(lead.name) });
  expect(await open.heard.first(({ kind }) => kind === 'error')).toMatchObject({ code: 'E_OPTION' });
  expect(String(execFileSync('ip', ['netns', 'exec', lead.name, 'ss', '-Htln']))).toBe('');
}, 120_000); // biome-ignore format: a story
