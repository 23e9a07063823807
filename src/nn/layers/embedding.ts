import { shapeError, showShape } from '../../graph/build.ts';
import { gather } from '../../graph/ops/gather.ts';
import { matmul } from '../../graph/ops/matmul.ts';
import { transpose } from '../../graph/ops/shape.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Layer } from '../contract.ts';
import { type InitRule, normal, resolveInit } from '../initializers.ts';
import { optionError, show } from '../options.ts';
import { callLayer, parameter, requireTensor } from '../trace.ts';
import { checkLayerOptions, type LayerOptions } from './layer.ts';

export interface EmbeddingOptions extends LayerOptions {
  /** Of the table. Default normal(1), as PyTorch; fans are size and width. */
  readonly init?: InitRule;
  /**
   * Sparse gradients: only the rows that a batch looks up are reduced, clipped and updated, so a step costs the same however
   * large the table is. Needs an optimizer with a sparse form (sgd without momentum, adagrad, adam and adamw; none with weight
   * decay on the table) and a table that is only looked up. Under Adam this is another rule ("lazy Adam"): the moments of a
   * row stand still while nothing looks it up. Default: 'auto', sparse where that changes nothing but speed (sgd, adagrad) and
   * the table is larger than what a batch looks up.
   */
  readonly sparse?: boolean | 'auto';
}

/** A table of vectors: called with ids it looks them up, `attend` compares with all of them. */
export interface Embedding extends Layer {
  /** ids (i32) of any shape [rows, ...] -> [rows, ..., width]. */
  (ids: Tensor): Tensor;
  /**
   * Inner products with every vector of the table, x [..., width] -> [..., size]: the output of a language model whose
   * weights are tied to its input (Press & Wolf, EACL 2017).
   */
  attend(x: Tensor): Tensor;
}

/**
 * A trained vector for each id in [0, size): i32 ids [rows, ...] -> [rows, ..., width]. Parameter `weight` [size, width]. Ids
 * beyond the table are refused when the data is loaded (E_LABEL). Throws E_OPTION for bad arguments, E_DTYPE for ids that are f32.
 */
export function embedding(size: number, width: number, options: EmbeddingOptions = {}): Embedding {
  checkCount('size', size, 'give the number of different ids, as in embedding(info.user.size, 32)');
  checkCount('width', width, 'give the length of the vectors, as in embedding(1000, 32)');
  checkLayerOptions('embedding', options, ['init', 'sparse']);
  const { name, init = normal(1), sparse = 'auto' } = options;
  if (typeof sparse !== 'boolean' && sparse !== 'auto') {
    throw optionError('embedding: sparse', "true, false or 'auto'", show(sparse));
  }
  const initializer = resolveInit('embedding: init', init, size, width);

  const enter = (x: Tensor, build: (weight: Tensor) => Tensor): Tensor => {
    requireTensor(name ?? 'embedding', x);
    return callLayer(layer, name, () => build(parameter(layer, 'weight', [size, width], initializer, sparse)));
  };
  const layer: Embedding = Object.assign((ids: Tensor) => enter(ids, (weight) => gather(weight, ids)), {
    kind: 'embedding',
    attend: (x: Tensor) =>
      enter(x, (weight) => {
        if (x.shape.length < 2 || x.shape.at(-1) !== width) {
          const fix = 'give vectors as wide as the table';
          throw shapeError('embedding.attend', `an input [rows, ..., ${width}]`, showShape(x.shape), fix);
        }
        return matmul(x, transpose(weight));
      }),
  });
  return layer;
}

function checkCount(what: string, value: unknown, fix: string): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1) return;
  throw optionError(`embedding: ${what}`, 'an integer of at least 1', show(value), fix);
}
