/**
 * The codec: restores, makes and inspects archives.
 *
 * @module bitx-wasm
 */
export { Bitx } from './codec/bitx.js';
export type {
  ArchiveInfo,
  BitxStream,
  CallOptions,
  CompressOptions,
  CreateOptions,
  Effort,
  Format,
  Input,
  MergeOptions,
  MergeStats,
  Mode,
  Output,
  Progress,
  RangeSource,
  ReadTensorOptions,
  RestoreOptions,
  Stats,
  TensorInfo,
  TensorPlace,
  WasmUrls,
  WriteOptions,
} from './codec/types.js';
export { BitxError, type BitxErrorCode, type BitxErrorFigures } from './common/index.js';
