import { dense, type Model, sequential } from '../../src/index.ts';
import type { ModelSpec } from './workloads.ts';

/** The model of a workload as a user would write it. Its parameters' names are those that the peers read: peers/torch_peer.py. */
export function buildModel(spec: ModelSpec): Model {
  switch (spec.kind) {
    case 'dense': {
      const hidden = spec.sizes.slice(1, -1).map((units) => dense(units, 'relu'));
      return sequential(...hidden, dense(spec.sizes[spec.sizes.length - 1]));
    }
    default:
      throw new Error(`no model of kind ${spec.kind}`);
  }
}
