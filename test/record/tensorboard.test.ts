import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import protobuf from 'protobufjs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EventRecord, HistogramRecord } from '../../src/record/contract.ts';
import { TensorBoardSink } from '../../src/record/tensorboard.ts';
import { evaluation, header, step } from './fixtures.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lockstep-tensorboard-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The part of event.proto, summary.proto and tensor.proto that matters here, for an independent decoder. */
const SCHEMA = `
  syntax = "proto3";
  message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
  message SessionLog { int32 status = 1; }
  message Summary { repeated Value value = 1;
    message Value { string tag = 1; float simple_value = 2; Histo histo = 5; Tensor tensor = 8; Metadata metadata = 9; } }
  message Histo { double min = 1; double max = 2; double num = 3; double sum = 4; double sum_squares = 5;
    repeated double bucket_limit = 6; repeated double bucket = 7; }
  message Metadata { PluginData plugin_data = 1; message PluginData { string plugin_name = 1; } }
  message Tensor { int32 dtype = 1; Shape tensor_shape = 2; repeated bytes string_val = 8; }
  message Shape { repeated Dim dim = 2; message Dim { int64 size = 1; } }`;

interface DecodedEvent {
  readonly wall_time: number;
  readonly step: number;
  readonly file_version: string;
  readonly session_log?: { readonly status: number };
  readonly summary?: {
    readonly value: readonly {
      tag: string;
      simple_value: number;
      histo?: Record<string, number | number[]>;
      tensor?: { dtype: number; tensor_shape: { dim: { size: number }[] }; string_val: string[] };
      metadata?: { plugin_data: { plugin_name: string } };
    }[];
  };
}

/** CRC-32C bit by bit, from its definition. */
function checksum(data: Uint8Array): number {
  let crc = ~0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
  }
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function readEvents(): DecodedEvent[] {
  const [name, ...others] = readdirSync(folder);
  expect(others).toEqual([]);
  expect(name).toMatch(/^events\.out\.tfevents\.\d{10}\./);
  const bytes = readFileSync(join(folder, name));
  const Event = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType('Event');
  const events: DecodedEvent[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(bytes.readUInt32LE(at + 8)).toBe(checksum(bytes.subarray(at, at + 8)));
    const data = bytes.subarray(at + 12, at + 12 + length);
    expect(data).toHaveLength(length);
    expect(bytes.readUInt32LE(at + 12 + length)).toBe(checksum(data));
    const decoded: unknown = Event.toObject(Event.decode(data), { longs: Number, defaults: true, bytes: String });
    events.push(decoded as DecodedEvent);
    at += length + 16;
  }
  return events;
}

const histogram: HistogramRecord = {
  kind: 'histogram',
  step: 300,
  histograms: [
    { tensor: 'dense/weight', of: 'weights', count: 3, min: -0.5, max: 2, sum: 1.75, sumOfSquares: 4.3125, limits: [-0.5, 0, 0.25, 2], counts: [1, 0, 1, 1] },
  ],
}; // biome-ignore format: one line
const end: EventRecord = { kind: 'event', event: 'end', step: 300, at: '2026-01-01T00:00:00.000Z', text: 'done' };

async function write(): Promise<void> {
  const sink = new TensorBoardSink(folder);
  await sink.open(header);
  void sink.write([step(1), step(300, 0.125), { ...evaluation, step: 300 }, histogram, end]);
  await sink.close();
}

const scalarsOf = ({ summary }: DecodedEvent) =>
  Object.fromEntries((summary?.value ?? []).map(({ tag, simple_value }) => [tag, simple_value]));

test('an independent decoder reads version, text and scalars, and every checksum is right', async () => {
  await write();
  const [version, text, first, second, evaluated, spread, ...rest] = readEvents();
  expect(rest).toEqual([]);
  expect(version.file_version).toBe('brain.Event:2');
  const [run] = text.summary?.value ?? [];
  expect(run.metadata?.plugin_data.plugin_name).toBe('text');
  expect(run.tensor?.tensor_shape.dim).toEqual([{ size: 1 }]);
  expect(run.tensor?.dtype).toBe(7);
  expect(Buffer.from(run.tensor?.string_val[0] ?? '', 'base64').toString()).toContain('"optimizer"');
  expect([first.step, second.step, evaluated.step]).toEqual([1, 300, 300]);
  expect(scalarsOf(first)).toMatchObject({ loss: 1, accuracy: 0.5, lr: Math.fround(0.001), 'gradient/norm': 1 });
  expect(scalarsOf(second).loss).toBe(0.125);
  expect(scalarsOf(evaluated)).toEqual({ 'val/loss': 0.5 });
  const [{ tag, histo }] = spread.summary?.value ?? [];
  expect(tag).toBe('weights/dense/weight');
  expect(histo).toEqual({
    min: -0.5,
    max: 2,
    num: 3,
    sum: 1.75,
    sum_squares: 4.3125,
    bucket_limit: [-0.5, 0, 0.25, 2],
    bucket: [1, 0, 1, 1],
  });
  expect(Math.abs(first.wall_time - Date.now() / 1000)).toBeLessThan(3600);
});

test('a run that is resumed has TensorBoard forget the steps that it does again', async () => {
  const sink = new TensorBoardSink(folder);
  await sink.open({ ...header, resumedAfter: 20 });
  await sink.close();
  const [, start, text] = readEvents();
  expect(start).toMatchObject({ step: 21, session_log: { status: 1 } });
  expect(text.summary?.value).toHaveLength(1);
});

test("TensorBoard's own reader agrees", async ({ skip }) => {
  if (spawnSync('python3', ['-c', 'import tensorboard']).status !== 0) skip('tensorboard is not installed');
  await write();
  const code = [
    'import sys, json',
    'from tensorboard.backend.event_processing.event_accumulator import EventAccumulator',
    'events = EventAccumulator(sys.argv[1]); events.Reload()',
    'spread = events.Histograms("weights/dense/weight")[0].histogram_value',
    'print(json.dumps([[e.step, e.value] for e in events.Scalars("loss")] + [[spread.num, spread.max]]))',
  ].join('\n');
  const printed = execFileSync('python3', ['-c', code, folder], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  expect(JSON.parse(printed)).toEqual([
    [1, 1],
    [300, 0.125],
    [3, 2],
  ]);
});
