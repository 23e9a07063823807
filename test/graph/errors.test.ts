import { expect, test } from 'vitest';
import { withScope } from '../../src/graph/build.ts';
import * as ops from '../../src/graph/ops/index.ts';

const f = (...shape: number[]) => ops.input('x', shape);
const i = (...shape: number[]) => ops.input('labels', shape, 'i32');

const ROWS: readonly [rule: string, code: string, message: RegExp, fn: () => unknown][] = [
  ['add', 'E_SHAPE', /^add: .*broadcasts with \[2, 3\].*\[2, 4\]/, () => ops.add(f(2, 3), f(2, 4))],
  ['add of integers', 'E_DTYPE', /^add: expected f32 as operand 2, got i32; .*cast/, () => ops.add(f(2), i(2))],
  ['sub, stretched', 'E_SHAPE', /^sub/, () => ops.sub(ops.broadcastTo(f(3), [2, 3]), f(3, 2))],
  ['maximum', 'E_SHAPE', /^maximum/, () => ops.maximum(f(2), f(3))],
  ['less', 'E_SHAPE', /^less/, () => ops.less(f(2, 2), f(3))],
  ['where', 'E_SHAPE', /^where/, () => ops.where(f(2), f(3), 0)],
  ['exp of integers', 'E_DTYPE', /^exp/, () => ops.exp(i(2))],
  ['relu of integers', 'E_DTYPE', /^relu/, () => ops.relu(i(2))],
  ['leakyRelu, negative slope', 'E_OPTION', /^leakyRelu/, () => ops.leakyRelu(f(2), -1)],
  ['clamp', 'E_OPTION', /low <= high/, () => ops.clamp(f(2), 1, 0)],
  ['sum, axis', 'E_SHAPE', /^sum: expected an axis from -2 to 1, got 2/, () => ops.sum(f(2, 3), { axis: 2 })],
  ['mean of integers', 'E_DTYPE', /^mean/, () => ops.mean(i(2))],
  ['reshape', 'E_SHAPE', /^reshape: .*6 elements.*\[2, 3\], got \[4\]/, () => ops.reshape(f(2, 3), [4])],
  ['reshape, two open', 'E_SHAPE', /^reshape/, () => ops.reshape(f(2, 3), [-1, -1])],
  ['reshape, no divisor', 'E_SHAPE', /^reshape/, () => ops.reshape(f(2, 3), [4, -1])],
  ['transpose', 'E_SHAPE', /^transpose: .*each of the 2 axes/, () => ops.transpose(f(2, 3), [0, 0])],
  ['transpose, too few', 'E_SHAPE', /^transpose/, () => ops.transpose(f(2, 3), [0])],
  ['broadcastTo', 'E_SHAPE', /^broadcastTo/, () => ops.broadcastTo(f(2, 3), [3])],
  ['slice, empty', 'E_SHAPE', /^slice: .*0 <= start < end <= 3/, () => ops.slice(f(2, 3), 1, 2, 2)],
  ['slice, beyond', 'E_SHAPE', /^slice/, () => ops.slice(f(2, 3), 0, 0, 3)],
  ['pad', 'E_SHAPE', /^pad/, () => ops.pad(f(2, 3), [[1, 1]])],
  ['pad, negative', 'E_SHAPE', /^pad/, () => ops.pad(f(2), [[-1, 0]])],
  ['concat', 'E_SHAPE', /^concat: .*\[2, 3\] except along axis 1, got \[3, 3\]/, () => ops.concat([f(2, 3), f(3, 3)])],
  ['concat, types', 'E_DTYPE', /^concat/, () => ops.concat([f(2), i(2)])],
  ['concat, none', 'E_OPTION', /^concat/, () => ops.concat([])],
  ['stack', 'E_SHAPE', /^stack/, () => ops.stack([f(2), f(3)])],
  ['matmul', 'E_SHAPE', /^matmul: .*5 rows, got \[2, 3\] x \[5, 4\]/, () => ops.matmul(f(2, 3), f(5, 4))],
  ['matmul of vectors', 'E_SHAPE', /^matmul: expected tensors of rank 2/, () => ops.matmul(f(3), f(3, 4))],
  ['matmul, batch', 'E_SHAPE', /^matmul/, () => ops.matmul(f(2, 3, 4), f(3, 4, 5))],
  ['matmul, shared', 'E_SHAPE', /^matmul/, () => ops.matmul(f(2, 3, 4), f(3, 4))],
  ['linear', 'E_SHAPE', /^linear: expected a weight of shape \[3, out\]/, () => ops.linear(f(2, 3), f(4, 5))],
  ['linear, bias', 'E_SHAPE', /^bias: expected \[5\]/, () => ops.linear(f(2, 3), f(3, 5), f(4))],
  ['gather', 'E_DTYPE', /^gather: expected i32 indices/, () => ops.gather(f(2, 3), f(2))],
  ['softmax', 'E_SHAPE', /^softmax/, () => ops.softmax(f(2), 1)],
  ['softmaxCrossEntropy', 'E_SHAPE', /labels of shape \[4\]/, () => ops.softmaxCrossEntropy(f(4, 3), i(4, 1))],
  ['softmaxCrossEntropy, types', 'E_DTYPE', /i32 labels/, () => ops.softmaxCrossEntropy(f(4, 3), f(4))],
  ['smoothing', 'E_OPTION', /smoothing/, () => ops.softmaxCrossEntropy(f(4, 3), i(4), { smoothing: 1 })],
  ['bceWithLogits', 'E_SHAPE', /^bceWithLogits/, () => ops.bceWithLogits(f(4, 1), f(4))],
  ['inTopK', 'E_SHAPE', /^inTopK/, () => ops.inTopK(f(4, 3), i(3), 1)],
  ['inTopK, k', 'E_OPTION', /^inTopK/, () => ops.inTopK(f(4, 3), i(4), 0)],
  ['dropout', 'E_OPTION', /^dropout: expected a rate/, () => ops.dropout(f(2), 1)],
  ['input', 'E_SHAPE', /^input x/, () => f(2, 0)],
  ['constant', 'E_SHAPE', /^constant/, () => ops.constant([1, 2, 3], [2])],
  ['constant, ragged', 'E_SHAPE', /^constant: expected rows of shape \[2\]/, () => ops.constant([[1, 2], [3]])],
];

test.each(ROWS)('%s is refused with %s and says why', (_rule, code, message, fn) => {
  expect(fn).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});

test('errors and tensors name the layer', () => {
  const fails = () => withScope('user', () => withScope('dense', () => ops.add(f(2), f(3))));
  expect(fails).toThrow(/^layer user\/dense: add:/);
  expect(withScope('user', () => ops.exp(f(2))).scope).toBe('user');
  expect(ops.exp(f(2)).scope).toBeUndefined();
});
