export { ModelCache } from './cache.js';
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
