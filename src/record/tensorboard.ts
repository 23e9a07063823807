import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { Message } from '../export/protobuf.ts';
import { AppendFile } from './append-file.ts';
import type { EvaluationRecord, Histogram, RunHeader, Sink, SinkRecord, StepRecord } from './contract.ts';

/**
 * Writes a run for TensorBoard: one event file in `folder` with the job as text and a scalar a number and step. Tags: `loss`, the
 * training metrics, `lr`, `gradient/norm`, `gradient/clip_scale`, `time/step_ms`, and what evaluations give (`val.loss`
 * becomes `val/loss`), and histograms `weights/<parameter>` and `gradients/<parameter>`. `tensorboard --logdir PARENT` then shows the folders of several runs together.
 *
 * Format: records of TensorFlow (length, masked CRC-32C of it, data, masked CRC-32C of it; tensorflow/core/lib/io/record_writer.h) of
 * protobuf messages `Event` (tensorflow/core/util/event.proto, framework/summary.proto). A run that is resumed says so (SessionLog START):
 * TensorBoard then forgets what earlier files of the folder have of later steps.
 */
export class TensorBoardSink implements Sink {
  readonly name = 'tensorboard';
  readonly #folder: string;
  #file: AppendFile | undefined;

  constructor(folder: string) {
    this.#folder = resolve(folder);
  }

  /** Creates the folder and the file. Throws E_RUN_DIR where that is not possible. */
  async open(header: RunHeader): Promise<void> {
    const seconds = Date.now() / 1000;
    const name = `events.out.tfevents.${Math.floor(seconds)}.${hostname()}.${process.pid}`;
    const file = await AppendFile.open(join(this.#folder, name));
    this.#file = file;
    file.append(record(event(seconds, 0).text(3, 'brain.Event:2')));
    if (header.resumedAfter !== undefined) {
      file.append(record(event(seconds, header.resumedAfter + 1).message(7, new Message().varint(1, SESSION_START))));
    }
    const { kind: _, ...run } = header;
    file.append(record(event(seconds, 0).message(5, summary(textValue('run', indented(run))))));
  }

  write(records: readonly SinkRecord[]): void | Promise<void> {
    if (this.#file?.failure) throw this.#file.failure;
    const now = Date.now() / 1000;
    for (const written of records) {
      const values = valuesOf(written);
      if (values) this.#file?.append(record(event(now, written.step).message(5, values)));
    }
    return this.#file?.room();
  }

  /** Makes the file durable. Throws E_RUN_DIR if anything was lost. */
  async close(): Promise<void> {
    await this.#file?.close();
  }
}

/** The Summary of a record; events have none. */
function valuesOf(written: SinkRecord): Message | undefined {
  switch (written.kind) {
    case 'step':
      return scalars(stepScalars(written));
    case 'evaluation':
      return scalars(evaluationScalars(written));
    case 'histogram':
      return summary(...written.histograms.map(histogramValue));
    default:
      return undefined;
  }
}

function stepScalars({ loss, metrics, lr, gradNorm, clipScale, timings }: StepRecord): Record<string, number> {
  return {
    loss,
    ...metrics,
    lr,
    'gradient/norm': gradNorm,
    'gradient/clip_scale': clipScale,
    'time/step_ms': timings.stepMs,
  };
}

function evaluationScalars({ metrics }: EvaluationRecord): Record<string, number> {
  return Object.fromEntries(Object.entries(metrics).map(([name, value]) => [name.replace('.', '/'), value]));
}

/** SessionLog: status = 1. */
const SESSION_START = 1;

/** Event: wall_time = 1, step = 2; then file_version = 3, summary = 5 or session_log = 7. */
function event(seconds: number, step: number): Message {
  return new Message().double(1, seconds).varint(2, step);
}

/** Summary: value = 1. */
function summary(...values: readonly Message[]): Message {
  return values.reduce((all, value) => all.message(1, value), new Message());
}

/** Summary.Value: tag = 1, simple_value = 2. */
function scalars(values: Readonly<Record<string, number>>): Message {
  return summary(...Object.entries(values).map(([name, value]) => new Message().text(1, name).float(2, value)));
}

/** Summary.Value: tag = 1, histo = 5 {min = 1, max = 2, num = 3, sum = 4, sum_squares = 5, bucket_limit = 6, bucket = 7}. */
function histogramValue({ tensor, of, count, min, max, sum, sumOfSquares, limits, counts }: Histogram): Message {
  const histo = new Message().double(1, min).double(2, max).double(3, count).double(4, sum).double(5, sumOfSquares);
  return new Message().text(1, `${of}/${tensor}`).message(5, histo.doubles(6, limits).doubles(7, counts));
}

/** Summary.Value with tensor = 8 (dtype = 1: DT_STRING is 7, tensor_shape = 2, string_val = 8) and metadata = 9 (plugin_data = 1 {plugin_name = 1}). */
function textValue(name: string, text: string): Message {
  const shape = new Message().message(2, new Message().varint(1, 1)); // one dimension of size 1
  const tensor = new Message().varint(1, 7).message(2, shape).text(8, text);
  const metadata = new Message().message(1, new Message().text(1, 'text'));
  return new Message().text(1, name).message(8, tensor).message(9, metadata);
}

/** Markdown shows indented lines as they are. */
function indented(value: unknown): string {
  return JSON.stringify(value, null, 2)
    .split('\n')
    .map((text) => `    ${text}`)
    .join('\n');
}

/** One record of the file: length (u64) and data, each followed by its checksum. */
function record(message: Message): Uint8Array {
  const data = message.encode();
  const bytes = new Uint8Array(12 + data.length + 4);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(bytes.subarray(0, 8)), true);
  bytes.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return bytes;
}

/** Rotated and shifted, so that the checksum of data that holds checksums is no special case (tensorflow/core/lib/hash/crc32c.h). */
function maskedCrc32c(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Castagnoli's polynomial, reflected. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
});

function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = (crc >>> 8) ^ TABLE[(crc ^ byte) & 255];
  return ~crc >>> 0;
}
