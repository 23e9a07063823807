import { dropout as dropoutOp } from '../../graph/ops/random.ts';
import type { Layer } from '../contract.ts';
import { optionError, show } from '../options.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

/**
 * In training sets each element to 0 with probability `rate` and divides the others by 1 - rate; passes x on otherwise. Each call
 * has its own mask, a function of seed, step, shard and element. Any shape. Throws E_OPTION unless 0 <= rate < 1.
 */
export function dropout(rate: number, options: LayerOptions = {}): Layer {
  if (typeof rate !== 'number' || !(rate >= 0 && rate < 1)) {
    throw optionError(
      'dropout: rate',
      'a share from 0 to below 1',
      show(rate),
      'give the share to drop, as in dropout(0.5)',
    );
  }
  checkLayerOptions('dropout', options);
  return makeLayer('dropout', options.name, (x) => dropoutOp(x, rate));
}
