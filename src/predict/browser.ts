/** `lockstep/predict` in web pages and workers: trained models that answer raw rows. */

import type { Prediction } from './answer.ts';
import { browserPlatform } from './browser-platform.ts';
import type { ModelSource } from './platform.ts';
import {
  loadPredictor,
  type PredictorLoader,
  type Predictor as PredictorOf,
  type PredictorOptions,
} from './predictor.ts';

export { LockstepError } from '../errors.ts';
export type { KernelFiles } from '../kernels/kernel-files.ts';
export type {
  Answer, AnswerKind, BinaryAnswer, Classification, Nested, NestedNumbers, OutputMeaning, Prediction, Regression,
} from './answer.ts'; // biome-ignore format: a list
export type { GenerateOptions } from './generate.ts';
export type { KernelInfo, ModelSource } from './platform.ts';
export type { AnswersByKind, PredictorLoader, PredictorOptions, Row } from './predictor.ts';

/** A trained model that answers raw rows. */
export type Predictor<A = Prediction> = PredictorOf<A>;

export const Predictor = {
  load: (source: ModelSource, options: PredictorOptions = {}) => loadPredictor(source, options, browserPlatform),
} as PredictorLoader;
