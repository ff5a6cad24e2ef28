export { Bitx } from './bitx.js';
export { BitxError, type BitxErrorCode, type BitxErrorFigures } from './errors.js';
export type {
  ArchiveInfo,
  CallOptions,
  CompressOptions,
  CreateOptions,
  Input,
  Mode,
  Output,
  Progress,
  RestoreOptions,
  Stats,
  TensorInfo,
  WriteOptions,
} from './types.js';
