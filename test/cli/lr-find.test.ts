import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { renderCurve } from '../../src/cli/curve.ts';
import { renderResult } from '../../src/cli/lr-find.ts';
import { runCli, SMALL_JOB } from './run-cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-lr-find-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Falls between 1e-3 and 1e-2, then explodes. */
const points = Array.from({ length: 71 }, (_, i) => {
  const lr = 10 ** (i / 10 - 6);
  const smoothed = i < 30 ? 2 : i < 40 ? 2 - (i - 30) / 10 : i < 60 ? 1 : 1 + 10 * (i - 59);
  return { step: i + 1, lr, loss: smoothed, smoothed };
});

it('draws the curve over the decades, with the suggestion below and the explosion cut off', () => {
  const lines = renderCurve(points, 1e-3);
  const width = (text: string) => text.indexOf('^');
  expect(lines[0].trim()).toBe('loss');
  expect(lines.find((line) => line.includes('1e-6'))).toMatch(/1e-6 +1e-5 +1e-4 +1e-3 +1e-2 +1e-1 +1e0 +1e1/);
  const axis = lines.find((line) => line.includes('1e-3')) ?? '';
  expect(width(lines[lines.length - 1])).toBe(axis.indexOf('1e-3'));
  expect(lines[1]).toMatch(/\|.*\^/); // what lies higher than the picture
  expect(lines.join('\n')).not.toMatch(/NaN|Infinity/);
});

it('says so where nothing is to be suggested', () => {
  const text = renderResult({ suggestion: undefined, lowest: undefined, points, diverged: true }, null).join('\n');
  expect(text).toMatch(/diverged at 10$/m);
  expect(text).toMatch(/no suggestion: the loss does not fall/);
});

it('prints the line to put into the job; a fast dev run writes nothing', async () => {
  const runDir = join(folder, 'run');
  const [found, tried] = await Promise.all([
    runCli(['lr-find', SMALL_JOB, '--json', '--steps', '80', '-w', '1']),
    runCli(['train', SMALL_JOB, '--fast-dev-run', '--json', '-w', '1', '--run-dir', runDir]),
  ]);
  expect({ code: found.code, stderr: found.stderr }).toEqual({ code: 0, stderr: '' });
  const { suggestion, line, points: swept } = JSON.parse(found.stdout);
  expect(suggestion).toBeGreaterThan(1e-4);
  expect(line).toMatch(/^optimizer: adam\(\{ lr: \d[\d.e-]* \}\),$/);
  expect(Object.keys(swept[0])).toEqual(['step', 'lr', 'loss', 'smoothed']);
  expect(tried.stderr).toContain('note: fast dev run');
  expect(JSON.parse(tried.stdout)).toMatchObject({ step: 1, metrics: { 'val.loss': expect.any(Number) } });
  expect(existsSync(runDir)).toBe(false);
});
