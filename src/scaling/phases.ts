import { median } from '../compare/statistics.ts';
import { PHASES, type PhaseName, phasesOf } from '../parallel/timeline.ts';
import type { NodeStep, WorkerPhases } from './contract.ts';

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
      const all = steps.map(phasesOf);
      const stepMs = median(steps.map(({ start, done }) => done - start));
      const medians = PHASES.map((name) => Math.max(0, median(all.map((phases) => phases[name]))));
      const sum = medians.reduce((a, b) => a + b, 0);
      const ms = Object.fromEntries(PHASES.map((name, i) => [name, sum === 0 ? 0 : (medians[i] * stepMs) / sum]));
      return { node: steps[0].node ?? 0, rank: steps[0].rank, stepMs, ms: ms as Record<PhaseName, number> };
    })
    .sort((a, b) => a.node - b.node || a.rank - b.rank);
}

/** Milliseconds in which a worker really works: all phases but the waits. */
export function busyMs({ ms }: Pick<WorkerPhases, 'ms'>): number {
  return ms.gather + ms.forward + ms.backward + ms.reduce + ms.update;
}

/** Milliseconds before the first barrier. */
export function computeMs({ ms }: Pick<WorkerPhases, 'ms'>): number {
  return ms.gather + ms.forward + ms.backward;
}
