import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scaleCommand } from '../../src/cli/scale.ts';
import type { ScaleCommandOptions } from '../../src/cli/scale-options.ts';
import { WIRE_FORMATS } from '../../src/parallel/wire-format.ts';
import { renderScaling } from '../../src/scaling/html.ts';
import type { ScalingReport } from '../../src/scaling/report.ts';
import { scale as scaleJobs } from '../../src/scaling/scale.ts';
import { parseLink, parseWhatIf } from '../../src/scaling/what-if.ts';
import { SMALL_JOB } from '../cli/run-cli.ts';
import small from '../fixtures/small-job.ts';

const job = SMALL_JOB;
const folder = mkdtempSync(join(tmpdir(), 'lockstep-scale-'));
afterAll(() => rmSync(folder, { recursive: true }));

interface Line {
  readonly rows: readonly { mode: string; workers: number; nodes: number; batch: number; shards: number; samplesPerSec: number; efficiency: number; parametersSha256: string }[]; // biome-ignore format: a list
  readonly jobs: readonly { headline: { workers: number }; stopAt: readonly unknown[] }[];
}

async function scale(
  options: Partial<ScaleCommandOptions>,
  path: string | undefined = job,
  { stop = new AbortController(), onProgress = (_: string): void => undefined } = {},
): Promise<{ lines: string[]; report: ScalingReport }> {
  const lines: string[] = [];
  const out = join(folder, 'out');
  await scaleCommand(
    path === '' ? undefined : path,
    { rounds: 1, seconds: 0.02, noise: true, set: [], quiet: true, out, ...options },
    {
      out: (line) => lines.push(line),
      write: async () => undefined,
      input: Readable.from([]),
      progress: {
        write(text) {
          onProgress(text);
          return true;
        },
      },
      stop: stop.signal,
    },
  );
  return { lines, report: JSON.parse(readFileSync(join(out, 'scaling.json'), 'utf8')) as ScalingReport };
}

let measured: Awaited<ReturnType<typeof scale>>;
const trace = join(folder, 'trace.json');
beforeAll(async () => {
  const question = parseWhatIf('nodes=1..16,link=1gbit/0.1ms');
  measured = await scale({ workers: [1, 2], json: true, trace, whatIf: question });
}, 120_000);

describe('lockstep scale', () => {
  test('ends with one line of JSON: rows of all kinds, equal bytes where batch and S are equal', () => {
    expect(measured.lines).toHaveLength(1);
    const { rows, jobs } = JSON.parse(measured.lines[0]) as Line;
    expect(rows.map(({ mode, workers, batch }) => `${mode} ${workers} ${batch}`)).toEqual([
      'strong 1 24',
      'strong 2 24',
      'equal-shards 1 24',
      'equal-shards 2 24',
      'weak 1 24',
      'weak 2 48',
    ]);
    const hashes = new Set(rows.filter(({ batch }) => batch === 24).map((row) => row.parametersSha256));
    expect([...hashes]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/)]);
    for (const { samplesPerSec, efficiency } of rows) {
      expect(samplesPerSec).toBeGreaterThan(0);
      expect(efficiency).toBeGreaterThan(0);
    }
    expect(jobs[0].headline.workers).toBe(2);
    expect(jobs[0].stopAt).toHaveLength(2 * WIRE_FORMATS.length); // star and tree
  });

  test('phases of every worker sum to its step; the trace has a track for each', () => {
    const [{ explanations }] = measured.report.jobs;
    expect(explanations.map(({ workers, batch }) => [workers, batch])).toEqual([[1, 24], [2, 24], [2, 48]]); // biome-ignore format: one line
    for (const { perWorker } of explanations) {
      for (const { ms, stepMs } of perWorker) {
        expect(Object.values(ms).reduce((a, b) => a + b)).toBeCloseTo(stepMs, 9);
      }
    }
    const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: { tid: number; name: string }[] };
    expect(new Set(traceEvents.map(({ tid }) => tid))).toEqual(new Set([0, 1]));
    expect(traceEvents.some(({ name }) => name === 'reduce')).toBe(true);
  });

  test('says what is wrong with a question that cannot be measured', async () => {
    await expect(scale({ workers: [4], mode: 'strong' })).rejects.toThrow(
      /--workers 4: expected at most 2.*--shards 4/,
    );
    await expect(scale({ workers: [1], steps: 3 })).rejects.toThrow(/--steps 3: expected at least 25 steps/);
    await expect(scale({ workers: [1], mode: 'weak', batchSize: 1000, nodes: [2] })).rejects.toThrow(/training rows/);
    await expect(scale({ workers: [0] })).rejects.toThrow(/whole numbers of at least 1/);
    const link = parseLink('1gbit');
    await expect(scale({ workers: [1], link })).rejects.toThrow(/--link 1gbit: expected several nodes/);
    await expect(scale({ workloads: ['mpl'] }, '')).rejects.toThrow(/--workloads: .*did you mean mlp/);
  });
});

test('what was measured when it is stopped is told; before the first round there is nothing', async () => {
  const stopAt = (text: string) => {
    const stop = new AbortController();
    return { stop, onProgress: (line: string) => void (line.includes(text) && stop.abort()) };
  };
  const options = { workers: [1, 2], mode: 'strong', rounds: 50, noise: false, json: true, quiet: false } as const;
  const { lines, report } = await scale(options, job, stopAt('round 2 of 50'));
  const { rows } = JSON.parse(lines[0]) as Line;
  expect(rows.map(({ workers }) => workers)).toEqual([1, 2, 1, 2]);
  expect(report).toMatchObject({ stopped: true, jobs: [{ rounds: 2 }] });
  expect(report.machine.warnings.join()).toContain('stopped: small-job in round 2 of 50');
  await expect(scale(options, job, stopAt(': 1 of 2'))).rejects.toThrow(expect.objectContaining({ code: 'E_ABORTED' }));
});

/** Several processes, one after the other. */
test('node processes, over a link that slows down the way to all but the first, end in the bytes of one process', async () => {
  const link = parseLink('1gbit/4ms');
  const { report } = await scale({ workers: [1], nodes: [1, 2], mode: 'strong', rounds: 1, noise: false, trace, link });
  const [{ rows, errors, explanations, link: said }] = report.jobs;
  const equal = rows.filter(({ mode }) => mode === 'equal-shards');
  expect(equal.map(({ nodes, workers }) => `${nodes}x${workers}`)).toEqual(['1x1', '2x1']);
  expect(new Set(equal.map(({ parametersSha256 }) => parametersSha256)).size).toBe(1);
  expect(errors).toHaveLength(2);
  expect(said?.name).toBe('1gbit/4ms'); // and as it was measured, with a process in between
  expect(said?.latencyMs).toBeGreaterThanOrEqual(link.latencyMs);
  expect(said?.bytesPerMs).toBeLessThanOrEqual(link.bytesPerMs);
  expect(rows.find(({ nodes }) => nodes === 2)?.stepMs).toBeGreaterThan(2 * 4); // parameters there, sums back
  expect(errors.find(({ nodes }) => nodes === 2)?.predicted).toBeLessThan(24_000 / (2 * 4));

  // What each process did: the coordinator's workers, those of the nodes, and the main threads, which send and receive.
  const onNodes = explanations.find(({ nodes }) => nodes === 2);
  expect(new Set(onNodes?.perWorker.map(({ node }) => node))).toEqual(new Set([0, 1, 2]));
  for (const { node, ms, stepMs } of onNodes?.perWorker ?? []) {
    expect(Object.values(ms).reduce((a, b) => a + b)).toBeCloseTo(stepMs, 9);
    expect(Math.min(ms.receive, ms.serialise)).toBeGreaterThan(0);
    expect(ms.forward > 0).toBe(node > 0);
    expect(ms.update > 0).toBe(node === 0);
  }
  const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8')) as {
    traceEvents: { pid: number; tid: number; name: string; ts: number; dur: number; args?: { name?: string; step?: number } }[];
  }; // biome-ignore format: a type
  const tracks = traceEvents.flatMap(({ pid, name, args }) => (name.endsWith('_name') ? [`${pid} ${args?.name}`] : []));
  expect(tracks).toEqual(expect.arrayContaining(['0 coordinator', '0 main thread', '1 node 1', '1 worker 0', '2 node 2', '2 main thread'])); // biome-ignore format: one line
  // The clock is one: a node computes a step while the coordinator waits for it.
  const of = (pid: number, what: string, step: number | undefined) => traceEvents.find((e) => e.pid === pid && e.name === what && e.args?.step === step); // biome-ignore format: one line
  const computed = traceEvents.filter(({ pid, name }) => pid > 0 && name === 'backward');
  expect(computed.length).toBeGreaterThan(10);
  for (const { ts, dur, args } of computed) {
    const waits = of(0, 'waitGradients', args?.step);
    if (!waits) continue;
    expect(ts).toBeGreaterThan(waits.ts);
    expect(ts + dur).toBeLessThan(waits.ts + waits.dur);
  }
}, 240_000);

test('nodes that do not answer are named, with what to do', async () => {
  const path = new URL('../fixtures/job-without-nodes.ts', import.meta.url).pathname;
  const measuring = scaleJobs([{ name: 'small', job: small, nodeJob: { path, options: { set: [] } } }], {
    workers: [1],
    nodes: [2],
    mode: 'strong',
    rounds: 1,
    seconds: 0.02,
    whatIf: parseWhatIf('nodes=1'),
    noise: false,
    joinMs: 1500,
    nodeEntry: pathToFileURL(new URL('../../dist/src/cli/scale-node.js', import.meta.url).pathname).href,
  });
  await expect(measuring).rejects.toThrow(/--nodes 2: expected 2 node processes .* join .*do not answer/);
});

test('a job that is over before it could be measured is measured beyond its end, on as many workers as have something to do', async () => {
  const { report } = await scale({ shards: 1, epochs: 2, mode: 'strong', noise: false, rounds: 1 });
  expect(report.jobs[0].notes.join()).toMatch(/the job has 6 steps, at least 45 are needed/);
  expect(report.jobs[0].rows.map(({ workers }) => workers)).toEqual([1, 1]);
  if (availableParallelism() > 1)
    expect(report.jobs[0].notes.join()).toMatch(/left out: batch 24 makes 1 shard.*--shards \d+ gives/);
});

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) =>
  existsSync(path),
);

describe('the page', () => {
  test('asks for nothing outside itself and shows names as text', () => {
    const page = renderScaling({
      ...measured.report,
      jobs: measured.report.jobs.map((j) => ({ ...j, name: '<my> job' })),
    });
    const addresses = [...page.matchAll(/(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)/g)].map((match) => match[1]);
    expect(addresses.filter((address) => !address.startsWith('data:') && !address.startsWith('#'))).toEqual([]);
    expect(page).toContain('&lt;my&gt; job');
    expect(page).not.toMatch(/<script|<my>/i);
  });

  test.skipIf(CHROMIUM === undefined)('draws its charts in a browser, within a narrow window too', async () => {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] });
    try {
      const page = await browser.newPage({ viewport: { width: 390, height: 800 } });
      await page.goto(pathToFileURL(join(folder, 'out', 'scaling.html')).href);
      const seen = await page.evaluate(`({
        titles: [...document.querySelectorAll('figcaption')].map((x) => x.textContent),
        drawn: [...document.querySelectorAll('figure svg')].map((svg) => svg.querySelectorAll('path, rect, circle').length),
        wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
      })`);
      expect(seen).toMatchObject({
        titles: ['Efficiency', 'Where a step’s time goes, on each worker', 'Predicted throughput'],
        wide: false,
      });
      for (const count of (seen as { drawn: number[] }).drawn) expect(count).toBeGreaterThan(5);
    } finally {
      await browser.close();
    }
  });
});
