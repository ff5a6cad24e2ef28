/**
 * Model folders: the shards and small files of a model as a folder of archives.
 *
 * @module bitx-wasm/folder
 */
export { compressFolder } from './compress.js';
export { inspectFolder, restoreFolder } from './restore.js';
export type {
  CompressFolderOptions,
  FolderInput,
  FolderOptions,
  FolderOutput,
  FolderResult,
  Manifest,
  ManifestEntry,
  ManifestFile,
  RestoreFolderOptions,
} from './types.js';
