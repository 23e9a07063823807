/** Every export is a kernel of src/kernels/table.ts, under the same name. */
export * from './attention';
export * from './batch-norm';
export * from './bias-activation';
export * from './binary';
export { checksum, checksumTake } from './checksum';
export { col2im, im2col } from './convolution';
export { depthwise, depthwiseGradInput, depthwiseGradWeight } from './depthwise';
export { gemm } from './gemm';
export * from './gradient-tree';
export {
  copy, fill, fillI32, gatherBytes, gatherRows, gatherWindows, gatherWords, i32ToF32, scatterAddRows, stridedCopy, where,
} from './move';
export * from './norm';
export * from './optimizer-rows';
export * from './optimizers';
export * from './optimizers-adam';
export * from './optimizers-other';
export { avgPool, avgPoolGrad, maxPool, maxPoolGrad, maxPoolPick } from './pooling';
export * from './random';
export {
  gruStep, gruStepGrad, lstmStep, lstmStepGrad, rnnStep, rnnStepGrad,
} from './recurrent';
export * from './reduce';
export * from './row-lists';
export * from './rows';
export * from './unary';
export { bf16Decode, bf16Encode, int4Put, int4Take, int8Put, int8Take, topkPut, topkTake } from './wire';

/** First address above the constants of this module: whoever owns the memory starts there. */
export const heapBase: usize = __heap_base;
