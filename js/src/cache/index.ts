/**
 * The model cache, and fine-tunes from it.
 *
 * @module bitx-wasm/cache
 */
export { ModelCache } from './cache.js';
export { type FineTuneOptions, type FineTuneProgress, loadFineTune, planFineTune } from './fine-tune.js';
export type { FineTunePlan, PlannedFile } from './plan.js';
export type {
  Backend,
  CacheCallOptions,
  CachedFile,
  CacheOptions,
  CacheProgress,
  FetchOptions,
  ModelInfo,
  ModelStat,
  PutOptions,
  Verdict,
} from './types.js';
