import { expect, test } from 'vitest';
import { newClipDecision } from '../../src/optim/clip.ts';
import { CONTROL_WORDS } from '../../src/parallel/control.ts';
import { RECORD_FIELDS, RECORD_SUMS, RecordRing, RING_CAPACITY } from '../../src/parallel/record-ring.ts';
import { Recorder } from '../../src/parallel/recorder.ts';
import { TIMING_SLOTS } from '../../src/parallel/timings.ts';

const plan = {
  batchRows: 8,
  instructions: [],
  sources: [],
  sums: [],
  gradient: 0,
  partials: [],
  nonEmpty: Uint8Array.of(1, 1),
  idle: [],
};

function shared() {
  const control = new Int32Array(CONTROL_WORDS);
  const values = new Float64Array(RING_CAPACITY * (RECORD_SUMS + 1));
  return { control, ring: new RecordRing(values, control) };
}

const numbers = (sums: number[]) => ({
  decision: { ...newClipDecision(), gradNorm: 3 },
  shardSums: Float64Array.from(sums),
  shards: 2,
  lr: 0.1,
});

function drained(ring: RecordRing) {
  const records: { step: number; gradNorm: number; sum: number }[] = [];
  ring.drain((values, at) => {
    const field = (name: (typeof RECORD_FIELDS)[number]) => values[at + RECORD_FIELDS.indexOf(name)];
    records.push({ step: field('step'), gradNorm: field('gradNorm'), sum: values[at + RECORD_SUMS] });
  });
  return records;
}

test('a record that was written but not published is found by another recorder, after the sums are gone', () => {
  const { control, ring } = shared();
  const first = new Recorder(ring, control);
  first.write(1, plan, numbers([1, 2]));
  first.publish(new Float64Array(TIMING_SLOTS));
  first.write(2, plan, numbers([10, 20])); // and here the thread ends
  expect(drained(ring)).toEqual([{ step: 1, gradNorm: 3, sum: 3 }]);

  const second = new Recorder(ring, control);
  expect(second.resume(3)).toBe(false);
  expect(second.resume(2)).toBe(true);
  second.publish(new Float64Array(TIMING_SLOTS));
  expect(drained(ring)).toEqual([{ step: 2, gradNorm: 3, sum: 30 }]);
});
