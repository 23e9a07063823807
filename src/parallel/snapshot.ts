import { denseBytes } from '../graph/layout.ts';
import type { Session } from './session.ts';
import { codecOf } from './wire-format.ts';

/** A flat vector in the arena. */
export interface SnapshotVector {
  readonly address: number;
  readonly bytes: number;
}

type Vectors = Pick<Session, 'layout' | 'tensors' | 'buffers' | 'slots' | 'part' | 'wire'>;

/**
 * Everything a run is made of between two steps, but for the optimizer's progress: the parameters with the buffers, the slots, the parameters to
 * evaluate with where the optimizer has others than it trains, and the replica that nodes hold where that is another.
 */
export function snapshotVectors(session: Vectors): readonly SnapshotVector[] {
  const { layout, tensors, buffers, slots } = session;
  const bytes = wholeLines(4 * [...tensors, ...buffers].reduce((end, t) => Math.max(end, t.offset + t.size), 0));
  return [
    { address: layout.parameters, bytes },
    ...slots.map((slot, i) => ({ address: layout.slots[i], bytes: wholeLines(4 * slot.floats) })),
    ...(hasEvaluated(layout) ? [{ address: layout.evaluated, bytes }] : []),
    ...(hasReplica(session) ? [{ address: layout.wire.replica, bytes: wholeLines(denseBytes(session)) }] : []),
  ];
}

const hasEvaluated = ({ evaluated, parameters }: Session['layout']): boolean => evaluated !== parameters;
/** Whether nodes hold other parameters than the coordinator: what differences have said of them (wire.ts). */
export const hasReplica = ({ part, wire = 'fp32' }: Pick<Session, 'part' | 'wire'>): boolean =>
  part === 'coordinator' && codecOf(wire)?.takes === true;
const wholeLines = (bytes: number): number => 64 * Math.ceil(bytes / 64);

/** Bytes of a snapshot: the vectors one after the other. */
export function snapshotBytes(session: Vectors): number {
  return snapshotVectors(session).reduce((sum, { bytes }) => sum + bytes, 0);
}

/** What a snapshot holds, by views. */
export interface SnapshotViews {
  /** To predict and evaluate with. */
  readonly parameters: Float32Array;
  /** Those that training goes on with, where they are others. */
  readonly trained?: Float32Array;
  readonly slots: readonly Float32Array[];
  /** Those that nodes hold, where they are others. */
  readonly replica?: Float32Array;
}

/** The vectors of a snapshot. */
export function snapshotViews(session: Vectors, staging: SharedArrayBuffer): SnapshotViews {
  let at = 0;
  const [trained, ...rest] = snapshotVectors(session).map(({ bytes }) => {
    const view = new Float32Array(staging, at, bytes / 4);
    at += bytes;
    return view;
  });
  const slots = rest.slice(0, session.slots.length);
  const evaluated = hasEvaluated(session.layout) ? rest[slots.length] : undefined;
  const replica = hasReplica(session) ? rest.at(-1) : undefined;
  const others = { slots, ...(replica && { replica }) };
  return evaluated ? { parameters: evaluated, trained, ...others } : { parameters: trained, ...others };
}

/** Copies this worker's part of every vector from the arena to `staging`, or back. The workers' parts cover all. */
export function copySnapshot(
  session: Session,
  rank: number,
  staging: SharedArrayBuffer,
  direction: 'out' | 'in',
): void {
  let start = 0;
  for (const { address, bytes } of snapshotVectors(session)) {
    const lines = bytes / 64;
    const begin = 64 * Math.floor((rank * lines) / session.workers);
    const end = 64 * Math.floor(((rank + 1) * lines) / session.workers);
    const inArena = new Uint8Array(session.memory.buffer, address + begin, end - begin);
    const staged = new Uint8Array(staging, start + begin, end - begin);
    if (direction === 'out') staged.set(inArena);
    else inArena.set(staged);
    start += bytes;
  }
}
