import type { Session } from './session.ts';

/** Fixed shards of an evaluation: pieces of about `evaluationRows` rows. */
export function evaluationShards(size: number, evaluationRows: number): number {
  return Math.max(1, Math.ceil(size / evaluationRows));
}

export function evaluationShardsOf(session: Pick<Session, 'splits' | 'evaluationRows'>): number {
  const sizes = [session.splits.val, session.splits.test].map((split) => split?.size ?? 0);
  return Math.max(...sizes.map((size) => evaluationShards(size, session.evaluationRows)));
}
