import type { Outcome } from './chaos.ts';
import type { ChaosCounts } from './chaos-cluster.ts';

/** What `lockstep chaos --json` prints. */
export interface ChaosReport extends ChaosCounts {
  readonly steps: number;
  readonly sameBytes: boolean;
  readonly parametersSha256: readonly [undisturbed: string, disturbed: string];
  /** Steps that the disturbed run has not, has more than once, or has with another loss. */
  readonly lost: number;
  readonly doubled: number;
  readonly different: number;
  readonly stepsPerSec: readonly [undisturbed: number, disturbed: number];
  /** Committed steps a second, disturbed by undisturbed. */
  readonly goodput: number;
}

/** Compares two runs. Pure. */
export function chaosReport(undisturbed: Outcome, disturbed: Outcome, counts: ChaosCounts): ChaosReport {
  const times = new Map<number, number>();
  const losses = new Map(undisturbed.told);
  let different = disturbed.result.step === undisturbed.result.step ? 0 : 1;
  for (const [step, loss] of disturbed.told) {
    times.set(step, (times.get(step) ?? 0) + 1);
    if (!Object.is(losses.get(step), loss)) different += 1;
  }
  const { step: steps } = undisturbed.result;
  const count = (wrong: (n: number) => boolean) =>
    Array.from({ length: steps }, (_, i) => times.get(i + 1) ?? 0).filter(wrong).length;
  const rates = [undisturbed, disturbed].map(({ told, seconds }) => (told.length - 1) / seconds) as [number, number];
  const hashes = [undisturbed.result.parametersSha256, disturbed.result.parametersSha256] as const;
  return {
    steps,
    sameBytes: hashes[0] === hashes[1],
    parametersSha256: hashes,
    lost: count((n) => n === 0),
    doubled: count((n) => n > 1),
    different,
    stepsPerSec: rates,
    goodput: rates[1] / rates[0],
    ...counts,
  };
}

/** Lines for a person. */
export function renderChaos(report: ChaosReport): string[] {
  const { steps, sameBytes, parametersSha256, lost, doubled, different, stepsPerSec, goodput } = report;
  const { kills, pauses, partitions, damaged, losses } = report;
  const [calm, rough] = stepsPerSec.map((rate) => (rate < 10 ? rate.toFixed(2) : rate.toFixed(0)));
  return [
    `done to it    ${kills} kills, ${pauses} pauses, ${partitions} partitions, ${damaged} damaged messages; a node was lost ${losses} times`,
    `goodput       ${(100 * goodput).toFixed(0)} %: ${rough} steps/s, undisturbed ${calm}`,
    `steps         ${steps}; ${lost} lost, ${doubled} doubled, ${different} with another loss`,
    sameBytes
      ? `parameters    the same bytes: sha256 ${parametersSha256[0]}`
      : `parameters    OTHER BYTES: sha256 ${parametersSha256[1]}, undisturbed ${parametersSha256[0]}`,
  ];
}
