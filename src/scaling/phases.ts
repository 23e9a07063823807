import { median } from '../compare/statistics.ts';
import { phasesOf, type RoundTimes } from '../parallel/timeline.ts';
import { type NodeStep, STEP_PHASES, type StepPhase, type WorkerPhases } from './contract.ts';

/**
 * Milliseconds of each phase of a step; their sum is the step. A step of a node lasts until the parameters of its next one begin to come. On a
 * coordinator the wait for gradients is what its main thread has left of it: making frames, sending and receiving are phases of their own.
 */
export function stepPhasesOf(step: NodeStep): Record<StepPhase, number> {
  const { node = 0, round } = step;
  const own = { ...phasesOf(step), serialise: 0, send: 0, receive: 0 };
  if (round === undefined) return own;
  const transfer = { serialise: spanMs(round, 'serialise'), send: spanMs(round, 'send'), receive: spanMs(round, 'receive') }; // biome-ignore format: a record
  const moved = transfer.serialise + transfer.send + transfer.receive;
  if (node === 0) return { ...own, ...transfer, waitGradients: Math.max(0, own.waitGradients - moved) };
  const { gather, forward, backward, reduce, update } = own;
  const waitGradients = own.waitGradients + own.waitParameters; // for the workers beside it, twice
  const busy = gather + forward + backward + reduce + update + waitGradients + moved;
  const waitParameters = Math.max(0, stepMsOf(step) - busy);
  const serialise = update + transfer.serialise; // instead of an update, workers encode lossy formats
  return { ...transfer, gather, forward, backward, waitGradients, reduce, waitNorms: 0, update: 0, serialise, waitParameters }; // biome-ignore format: a record
}

/** How long a step takes. */
export function stepMsOf({ start, done, periodMs = done - start }: NodeStep): number {
  return periodMs;
}

function spanMs({ spans }: RoundTimes, name: string): number {
  return spans.reduce((sum, span) => (span.name === name ? sum + span.end - span.start : sum), 0);
}

/**
 * What each worker's median step consists of. Medians of phases do not add up to the median of their sum, so they are scaled to it:
 * the phases of a worker sum to its step.
 */
export function phasesByWorker(timeline: readonly NodeStep[]): WorkerPhases[] {
  const workers = new Map<string, NodeStep[]>();
  for (const step of timeline) {
    const key = `${step.node ?? 0}/${step.rank}`;
    const known = workers.get(key);
    if (known) known.push(step);
    else workers.set(key, [step]);
  }
  return [...workers.values()]
    .map((steps): WorkerPhases => {
      const all = steps.map(stepPhasesOf);
      const stepMs = median(steps.map(stepMsOf));
      const medians = STEP_PHASES.map((name) => Math.max(0, median(all.map((phases) => phases[name]))));
      const sum = medians.reduce((a, b) => a + b, 0);
      const ms = Object.fromEntries(STEP_PHASES.map((name, i) => [name, sum === 0 ? 0 : (medians[i] * stepMs) / sum]));
      return { node: steps[0].node ?? 0, rank: steps[0].rank, stepMs, ms: ms as Record<StepPhase, number> };
    })
    .sort((a, b) => a.node - b.node || a.rank - b.rank);
}

/** Milliseconds in which a worker really works: neither waits nor what the main thread does for it. */
export function busyMs({ ms }: Pick<WorkerPhases, 'ms'>): number {
  return ms.gather + ms.forward + ms.backward + ms.reduce + ms.update;
}

/** Milliseconds before the first barrier. */
export function computeMs({ ms }: Pick<WorkerPhases, 'ms'>): number {
  return ms.gather + ms.forward + ms.backward;
}
