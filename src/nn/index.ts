/** Models, losses and metrics: the part of `lockstep` that describes what is computed. */
export type {
  Info,
  Inputs,
  Layer,
  LayerRow,
  LossDef,
  LossFunction,
  MetricDef,
  Model,
  ModelFunction,
  ModelOutput,
  Outputs,
  OutputsOf,
  Sequential,
  WeightedValue,
} from './contract.ts';
export {
  constant,
  heNormal,
  heUniform,
  type InitRule,
  lecunNormal,
  lecunUniform,
  normal,
  ones,
  uniform,
  xavierNormal,
  xavierUniform,
  zeros,
} from './initializers.ts';
export { type ActivationName, activation } from './layers/activation.ts';
export {
  type AttentionInputs,
  type AttentionLayerOptions,
  type MultiHeadAttention,
  multiHeadAttention,
} from './layers/attention.ts';
export { type BatchNormLayerOptions, batchNorm } from './layers/batch-norm.ts';
export {
  type Conv1dLayerOptions,
  type Conv2dLayerOptions,
  type ConvTranspose2dLayerOptions,
  conv1d,
  conv2d,
  convTranspose2d,
  type DepthwiseConv2dLayerOptions,
  depthwiseConv2d,
} from './layers/convolution.ts';
export { type DenseOptions, dense } from './layers/dense.ts';
export { dropout } from './layers/dropout.ts';
export { type Embedding, type EmbeddingOptions, embedding } from './layers/embedding.ts';
export { flatten } from './layers/flatten.ts';
export { type LambdaContext, type LambdaOptions, lambda } from './layers/lambda.ts';
export type { LayerOptions } from './layers/layer.ts';
export { groupNorm, layerNorm, type NormLayerOptions, rmsNorm } from './layers/norm.ts';
export {
  avgPool1d,
  avgPool2d,
  globalAvgPool,
  globalMaxPool,
  maxPool1d,
  maxPool2d,
  type Pool1dLayerOptions,
  type Pool2dLayerOptions,
} from './layers/pooling.ts';
export { type PositionsOptions, positions } from './layers/positions.ts';
export {
  gru,
  lstm,
  type RecurrentLayer,
  type RecurrentLayerOptions,
  type RnnOptions,
  rnn,
  type SequenceOptions,
} from './layers/recurrent.ts';
export { reshape } from './layers/reshape.ts';
export { residual } from './layers/residual.ts';
export { type SequentialPart, sequential } from './layers/sequential.ts';
export {
  binaryCrossEntropy,
  type CrossEntropyOptions,
  crossEntropy,
  type HuberOptions,
  huber,
  meanAbsoluteError,
  meanSquaredError,
} from './losses.ts';
export { accuracy, f1, type MetricOptions, mae, mse, precision, r2, recall, rmse, topK } from './metrics.ts';
export type { Selection } from './select.ts';
export { renderSummary, type Summary, type SummaryInput, type SummaryRegion, summarize } from './summary.ts';
export { scope } from './trace.ts';
