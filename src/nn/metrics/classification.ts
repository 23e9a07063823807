import { mul } from '../../graph/ops/binary.ts';
import { equal, greater } from '../../graph/ops/compare.ts';
import { argmax, inTopK } from '../../graph/ops/rank.ts';
import type { Tensor } from '../../graph/tensor.ts';
import type { Inputs, MetricDef, WeightedValue } from '../contract.ts';
import { classPair } from '../losses/cross-entropy.ts';
import { optionError, show } from '../options.ts';
import { maskOf, type Selected, sameElements, samePair, select } from '../select.ts';
import { type ClassMetricOptions, countOf, type MetricOptions, metricName, ratio } from './metric.ts';

/**
 * Share of right answers: the class of the largest logit against labels ([n, ..., classes], [n, ...]); where output and target have
 * the same elements ([n, 1] and [n], or several labels a row) the sign of each logit against 0 or 1.
 */
export function accuracy(options: ClassMetricOptions = {}): MetricDef {
  return {
    name: metricName('accuracy', options, ['mask']),
    mode: 'max',
    sums(outputs, fields) {
      const selected = select('accuracy', outputs, fields, options);
      const right = sameElements(selected) ? binaryHits(selected) : classHits(selected);
      return counted('accuracy', right, fields, options.mask);
    },
    finish: ({ right, count }) => ratio(right, count),
  };
}

/** Hits and how many there could be; with a mask both weighted by it. */
function counted(
  where: string,
  right: Tensor,
  fields: Inputs,
  mask?: string,
): Record<'right' | 'count', WeightedValue> {
  if (mask === undefined) return { right: { value: right }, count: countOf(right) };
  const weight = maskOf(where, fields, mask, right);
  return { right: { value: right, weight }, count: { value: weight } };
}

/** Share of rows whose label is among the k largest logits (a tie at rank k counts). Throws E_OPTION unless k is an integer >= 1. */
export function topK(k: number, options: ClassMetricOptions = {}): MetricDef {
  if (!Number.isInteger(k) || k < 1) throw optionError('topK: k', 'an integer of at least 1', show(k));
  return {
    name: metricName(`top${k}`, options, ['mask']),
    mode: 'max',
    sums(outputs, fields) {
      const { logits, labels } = classPair(`top${k}`, select(`top${k}`, outputs, fields, options));
      const right = inTopK(logits, labels, k);
      return counted(`top${k}`, right, fields, options.mask);
    },
    finish: ({ right, count }) => ratio(right, count),
  };
}

/** Of the rows called positive (logit > 0), the share that is (target > 0.5). NaN where none was called positive. */
export function precision(options: MetricOptions = {}): MetricDef {
  return confusion('precision', options, ({ hits, called }) => ratio(hits, called));
}

/** Of the positive rows, the share that was called positive. NaN where there are none. */
export function recall(options: MetricOptions = {}): MetricDef {
  return confusion('recall', options, ({ hits, positive }) => ratio(hits, positive));
}

/** Harmonic mean of precision and recall: 2 hits / (called + positive). */
export function f1(options: MetricOptions = {}): MetricDef {
  return confusion('f1', options, ({ hits, called, positive }) => ratio(2 * hits, called + positive));
}

interface Confusion {
  /** Called positive and positive. */
  readonly hits: number;
  readonly called: number;
  readonly positive: number;
}

function confusion(kind: string, options: MetricOptions, finish: (counts: Confusion) => number): MetricDef {
  return {
    name: metricName(kind, options),
    mode: 'max',
    sums(outputs, fields) {
      const { called, positive } = decisions(kind, select(kind, outputs, fields, options));
      return { hits: { value: mul(called, positive) }, called: { value: called }, positive: { value: positive } };
    },
    finish: ({ hits, called, positive }) => finish({ hits, called, positive }),
  };
}

function binaryHits(selected: Selected): Tensor {
  const { called, positive } = decisions('accuracy', selected);
  return equal(called, positive);
}

/** 1 and 0 for each element: what the sign of the logit says, and what is so. */
function decisions(where: string, selected: Selected): { called: Tensor; positive: Tensor } {
  const { prediction, target } = samePair(where, selected);
  return { called: greater(prediction, 0), positive: greater(target, 0.5) };
}

function classHits(selected: Selected): Tensor {
  const { logits, labels } = classPair('accuracy', selected);
  return equal(argmax(logits), labels);
}
