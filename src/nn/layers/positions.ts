import { shapeError, showShape } from '../../graph/build.ts';
import { add } from '../../graph/ops/binary.ts';
import { slice } from '../../graph/ops/shape.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, normal, resolveInit } from '../initializers.ts';
import { optionError, show } from '../options.ts';
import { parameter } from '../trace.ts';
import { checkLayerOptions, type LayerOptions, makeLayer } from './layer.ts';

export interface PositionsOptions extends LayerOptions {
  /** Of the table. Default normal(0.02), as GPT-2. */
  readonly init?: InitRule;
}

/**
 * Adds a learned vector to each position: [rows, positions, width] -> the same, for up to `length` positions. Parameter `weight`
 * [length, width]. Throws E_OPTION for bad arguments, E_SHAPE for a sequence that is longer.
 */
export function positions(length: number, options: PositionsOptions = {}): Layer {
  if (!Number.isInteger(length) || length < 1) {
    const fix = 'give the number of positions, as in positions(64)';
    throw optionError('positions: length', 'an integer of at least 1', show(length), fix);
  }
  checkLayerOptions('positions', options, ['init']);
  const { init = normal(0.02) } = options;
  return makeLayer('positions', options.name, (x, layer) => {
    if (x.shape.length !== 3) {
      const fix = 'give a vector at each position, as embedding(...) does';
      throw shapeError('positions', 'an input [rows, positions, width]', showShape(x.shape), fix);
    }
    const [, used, width] = x.shape;
    if (used > length) {
      const fix = `shorten the sequences, or make it positions(${used})`;
      throw shapeError('positions', `at most ${length} positions`, `${used} in ${showShape(x.shape)}`, fix);
    }
    const start = resolveInit('positions: init', init, length, width);
    return add(x, slice(parameter(layer, 'weight', [length, width], start), 0, 0, used));
  });
}
