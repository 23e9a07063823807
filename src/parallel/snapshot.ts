import type { ArenaLayout } from './arena.ts';
import type { Session } from './session.ts';

/** Everything a run is made of between two steps, but for the optimizer's progress: flat vectors in the arena. */
export function snapshotVectors(layout: ArenaLayout): readonly number[] {
  return [layout.parameters, ...layout.slots];
}

/** Bytes of a snapshot: the vectors one after the other. */
export function snapshotBytes(session: Pick<Session, 'layout' | 'tensors'>): number {
  return snapshotVectors(session.layout).length * vectorBytes(session);
}

export function vectorBytes({ tensors }: Pick<Session, 'tensors'>): number {
  const floats = tensors.reduce((end, t) => Math.max(end, t.offset + t.size), 0);
  return 64 * Math.ceil((4 * floats) / 64);
}

/** Copies this worker's part of every vector from the arena to `staging`, or back. The workers' parts cover all. */
export function copySnapshot(
  session: Session,
  rank: number,
  staging: SharedArrayBuffer,
  direction: 'out' | 'in',
): void {
  const bytes = vectorBytes(session);
  const lines = bytes / 64;
  const begin = 64 * Math.floor((rank * lines) / session.workers);
  const end = 64 * Math.floor(((rank + 1) * lines) / session.workers);
  snapshotVectors(session.layout).forEach((address, index) => {
    const inArena = new Uint8Array(session.memory.buffer, address + begin, end - begin);
    const staged = new Uint8Array(staging, index * bytes + begin, end - begin);
    if (direction === 'out') staged.set(inArena);
    else inArena.set(staged);
  });
}
