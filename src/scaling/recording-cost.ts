import { median } from '../compare/statistics.ts';
import { TIMELINE_BYTES, TimelinePen } from '../parallel/timeline.ts';
import { mark, markStart, PHASE, TIMING_SLOTS } from '../parallel/timings.ts';

/** Records of a try, and tries. */
const [RECORDS, TRIES] = [2000, 15];

/**
 * Milliseconds that one worker takes to write down one step: all marks and the record, as it does in every step, beside which nothing runs.
 *
 * @param parts shards, or groups of shards, that the worker computes in a step: each has three marks of its own.
 */
export function recordingMs(parts: number): number {
  const pen = new TimelinePen(new SharedArrayBuffer(TIMELINE_BYTES), 0);
  const timings = new Float64Array(TIMING_SLOTS);
  const times: number[] = [];
  for (let i = 0; i < TRIES; i++) {
    const start = performance.now();
    for (let t = 1; t <= RECORDS; t++) {
      markStart(timings);
      for (let p = 0; p < parts; p++) {
        for (let m = 0; m < 3; m++) mark(timings, PHASE.backward);
        timings[PHASE.gather] += timings[PHASE.backward];
      }
      for (let phase = PHASE.computed; phase <= PHASE.done; phase++) mark(timings, phase);
      pen.write(t, timings);
    }
    times.push((performance.now() - start) / RECORDS);
  }
  return median(times);
}
