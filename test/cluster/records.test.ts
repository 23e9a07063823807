import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Controls, type EventRecord, type Job, type SinkRecord, train } from 'lockstep';
import { type NodePart, type NodeRow, runCoordinator, runNode } from 'lockstep/cluster';
import { afterAll, expect, test } from 'vitest';
import { FaultyProxy } from '../../cluster/faults/proxy.ts';
import job from '../fixtures/cluster-job.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-cluster-records-'));
afterAll(() => rmSync(folder, { recursive: true }));
const plain = { ...job, steps: 24, evaluate: undefined } as unknown as Job;

const undisturbed = train(plain, { workers: 1 });

/** A sink that keeps the events. */
function eventsOf() {
  const events: EventRecord[] = [];
  const sink = {
    open() {},
    write: (records: readonly SinkRecord[]) => void events.push(...records.filter((r) => r.kind === 'event')),
    close() {},
  };
  return { events, sink };
}

test('nodes that join and are lost are events of the run; how they are, and when they compute, is told', async () => {
  const { events, sink } = eventsOf();
  const over = new AbortController();
  const proxy = await FaultyProxy.start({ target: { port: 1 } });
  const rows: (readonly NodeRow[])[] = [];
  const parts: NodePart[] = [];
  const controls = new Controls();
  let nodes: Promise<unknown>[] = [];
  const result = await runCoordinator(plain, {
    ...{ port: 0, workers: 1, minNodes: 1, startNodes: 2, sinks: [sink], controls },
    onListening: ({ url, port }) => {
      proxy.lead(port);
      nodes = [
        { url, name: 'one' },
        { url: proxy.url, name: 'two' },
      ].map((node) => runNode(plain, { ...node, workers: 1, signal: over.signal }));
    },
    // The run waits, with its nodes, until they have been reported.
    onNodes: (all) => {
      rows.push(all);
      if (controls.state === 'paused') controls.resume();
    },
    onPart: (part) => {
      parts.push(part);
      if (parts.length === 10) controls.pause();
      if (parts.length === 20) proxy.cut();
    },
  });
  over.abort(); // where 'two' has not come back
  await Promise.allSettled(nodes);
  await proxy.close();
  expect(result.parametersSha256).toBe((await undisturbed).parametersSha256);

  const told = events.filter(({ data }) => data !== undefined && 'node' in data);
  const said = told.map(({ event, text }) => [event, text.split(' from ')[0].split(':')[0]]);
  expect(said.slice(0, 2).sort()).toEqual([['note', 'one joined'], ['note', 'two joined']]); // biome-ignore format: one line
  expect(said[2]).toEqual(['lost', 'two is lost']);
  expect(told[2].data).toMatchObject({ node: { name: 'two', workers: 1 }, lost: true });
  const both = rows.find((all) => all.length === 2 && all[0].bytesReceived > 0);
  expect(both?.map(({ name }) => name).sort()).toEqual(['one', 'two']);
  expect(both?.reduce((sum, { shards }) => sum + shards, 0)).toBe(result.shards);
  for (const { bytesSent, bytesReceived, quietMs } of both ?? []) {
    expect(bytesSent).toBeGreaterThan(1000);
    expect(bytesReceived).toBeGreaterThan(1000);
    expect(quietMs).toBeLessThan(60_000);
  }
  for (const { start, end, computeMs, sumBytes } of parts) {
    expect(end).toBeGreaterThan(start);
    expect(computeMs).toBeLessThanOrEqual(end - start);
    expect(sumBytes).toBeGreaterThan(0);
  }
  const steps = new Set(parts.map(({ step }) => step));
  expect(steps.size).toBe(result.step);
}, 60_000);

test('the button stops a run that waits for nodes; and who resumes a run that was stopped wants it to go on', async () => {
  const runDir = join(folder, 'stopped');
  const controls = new Controls();
  const waiting = await runCoordinator(plain, {
    ...{ port: 0, workers: 1, runDir, controls },
    onEvent: ({ kind }) => kind === 'waiting' && controls.stop(),
  });
  expect(waiting).toMatchObject({ stopped: 'aborted', step: 0 });

  const node: Promise<unknown>[] = [];
  const again = new Controls();
  const stopped = await runCoordinator(plain, {
    ...{ port: 0, workers: 1, runDir, controls: again, resume: 'auto' },
    onListening: ({ url }) => node.push(runNode(plain, { url, workers: 1 })),
    onPart: ({ step }) => step === 5 && again.stop(),
  });
  expect(stopped.stopped).toBe('aborted');
  expect(stopped.step).toBeGreaterThanOrEqual(5);
  const whole = await runCoordinator(plain, {
    ...{ port: 0, workers: 1, runDir, resume: 'auto' },
    onListening: ({ url }) => node.push(runNode(plain, { url, workers: 1 })),
  });
  await Promise.all(node);
  const { parametersSha256 } = await undisturbed;
  expect(whole).toMatchObject({ stopped: 'epochs', parametersSha256 });
  const events = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8').split('\n').flatMap((line) => (line.includes('"event":"stop"') ? ['stop'] : [])); // biome-ignore format: one line
  expect(events).toEqual(['stop', 'stop']);
}, 60_000);
