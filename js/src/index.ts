export { Bitx } from './bitx.js';
export { BitxError, type BitxErrorCode, type BitxErrorFigures } from './errors.js';
export type {
  ArchiveInfo,
  BitxStream,
  CallOptions,
  CompressOptions,
  CreateOptions,
  Effort,
  Format,
  Input,
  Mode,
  Output,
  Progress,
  RangeSource,
  ReadTensorOptions,
  RestoreOptions,
  Stats,
  TensorInfo,
  WasmUrls,
  WriteOptions,
} from './types.js';
