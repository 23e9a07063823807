import { purposeKey } from './gather.ts';
import type { WorkerState } from './worker-state.ts';

/** Initial parameters and slots: each tensor by one worker, each element a function of (seed, tensor, index) only. */
export function initialize(worker: WorkerState): void {
  const { session, kernels } = worker;
  const [key0, key1] = purposeKey(session.seed, 'init');
  session.tensors.forEach((tensor, index) => {
    if (index % session.workers !== worker.rank) return;
    const at = session.layout.parameters + 4 * tensor.offset;
    const { init, size } = tensor;
    switch (init.kind) {
      case 'constant':
        kernels.fill(at, init.value, size);
        break;
      case 'uniform':
        kernels.randomUniform(at, size, key0, key1, index, 0, 0, 0, init.low, init.high);
        break;
      case 'normal':
        kernels.randomNormal(at, size, key0, key1, index, 0, 0, 0, init.mean, init.std);
        break;
      default:
        init satisfies never;
    }
    worker.optimizer.slotInits(tensor).forEach((value, slot) => {
      kernels.fill(session.layout.slots[slot] + 4 * tensor.offset, value, size);
    });
  });
}
