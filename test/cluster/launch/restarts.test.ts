import { expect, test } from 'vitest';
import { connectionEnded, Restarts } from '../../../cluster/launch/restarts.ts';

test('pauses grow with the losses in a row, and end', () => {
  const restarts = new Restarts();
  const host = {};
  const next = () => restarts.pauseMs(host, 100, true);
  expect(Array.from({ length: 11 }, next)).toEqual([1, 2, 4, 8, 16, 30, 30, 30, 30, 30].map((s) => 1000 * s).concat([undefined as never])); // biome-ignore format: a row
});

test('after a node that lived for long the first pause comes again; hosts do not count for each other', () => {
  const restarts = new Restarts();
  const [host, other] = [{}, {}];
  const lived = (ms: number) => restarts.pauseMs(host, ms, true);
  expect([lived(10), lived(10), lived(60_000), lived(10)]).toEqual([1000, 2000, 1000, 2000]);
  expect(restarts.pauseMs(other, 10, true)).toBe(1000);
});

test('a host that was never reached is given up; one that was may be away for a while', () => {
  const restarts = new Restarts();
  const host = {};
  expect(restarts.pauseMs(host, 10, false)).toBeUndefined();
  expect(restarts.pauseMs(host, 10, true)).toBe(1000);
  expect(restarts.pauseMs(host, 10, false)).toBe(2000);
});

test('ssh says that its connection has ended by 255, or was killed itself', () => {
  const ends = [{ code: 255, signal: null }, { code: null, signal: 'SIGKILL' }, { code: 1, signal: null }, { code: 75, signal: null }] as const;
  expect(ends.map(connectionEnded)).toEqual([true, true, false, false]);
}); // biome-ignore format: a row
