import { denseBytes } from '../graph/layout.ts';
import type { TensorEntry } from '../graph/program.ts';
import { progressWidth } from './progress.ts';
import type { Session } from './session.ts';
import type { SnapshotVector } from './snapshot.ts';

/**
 * What a node keeps from round to round, and nobody else could make again: what its sums have left unsaid (a wire format with error
 * feedback), and with local steps its own optimizer. As one run of bytes it goes into the coordinator's checkpoints, and from there to
 * whichever node takes the place of this one.
 */
export interface Kept {
  /** The wire format leaves something unsaid. */
  readonly residual: boolean;
  /** The node makes local steps. */
  readonly inner: boolean;
}

/** An optimizer's memory. */
export interface InnerMemory {
  readonly slots: readonly { readonly floats: number }[];
  readonly progressNames: readonly string[];
}

/** Bytes of what each node keeps; a coordinator has another optimizer than its nodes. */
export function keptBytes(tensors: readonly TensorEntry[], residual: boolean, inner: InnerMemory | undefined): number {
  const slots = inner?.slots.reduce((sum, { floats }) => sum + 4 * floats, 0) ?? 0;
  return (residual ? denseBytes({ tensors }) : 0) + slots + (inner ? progressBytes(inner.progressNames) : 0);
}

/** On a node: where it lies, one after the other. */
export function keptVectors({ layout, tensors, slots, progressNames }: Session, kept: Kept): SnapshotVector[] {
  return [
    ...(kept.residual ? [{ address: layout.wire.residual, bytes: denseBytes({ tensors }) }] : []),
    ...(kept.inner
      ? [
          ...slots.map(({ floats }, i) => ({ address: layout.slots[i], bytes: 4 * floats })),
          { address: layout.progress, bytes: progressBytes(progressNames) },
        ]
      : []),
  ];
}

const progressBytes = (names: readonly string[]) => 2 * 8 * progressWidth(names);
