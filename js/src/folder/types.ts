import type { CallOptions, Effort, Input, Output } from '../codec/types.js';

/**
 * The files of a folder:
 *
 * - A `FileSystemDirectoryHandle`, with all its subfolders.
 * - `File`s, from an input element or a drop. Their paths are those inside the folder that was
 *   chosen, or else their names.
 * - A `Map` or an object from paths to inputs.
 * - A URL: the address of a folder on a static server, whose files are fetched by their paths. Such
 *   a folder cannot be listed, so it is for archives and their base. In Node, a string without a
 *   scheme and a `file:` URL are a folder on the disk.
 */
export type FolderInput =
  | FileSystemDirectoryHandle
  | Iterable<File>
  | ReadonlyMap<string, Input>
  | { readonly [path: string]: Input }
  | string
  | URL;

/**
 * The destination of the files: a folder, or a function that is called with the path of each file
 * and returns where it goes. In Node, a string is the path of a new folder.
 */
export type FolderOutput =
  | FileSystemDirectoryHandle
  | ((path: string) => Output | Promise<Output>)
  | string
  | URL;

/** Options of every call about folders. */
export interface FolderOptions extends CallOptions {
  /** Called when a file is begun, with its path. */
  onFile?: (path: string) => void;
}

/** Options of {@link compressFolder}. */
export interface CompressFolderOptions extends FolderOptions {
  /** The folder of the base model. */
  base: FolderInput;
  /** The folder of the fine-tuned model. */
  target: FolderInput;
  /** The folder of archives. Default: the call resolves to Blobs. */
  output?: FolderOutput;
  /** The effort of compression. Default: `default`. */
  effort?: Effort | undefined;
}

/** Options of {@link restoreFolder}. */
export interface RestoreFolderOptions extends FolderOptions {
  /** The folder of the base model. */
  base: FolderInput;
  /** The folder of archives. */
  archives: FolderInput;
  /** The folder of the model. Default: the call resolves to Blobs. */
  output?: FolderOutput;
  /** The paths of the files to restore. Default: all files of the model. */
  files?: readonly string[] | undefined;
  /** The most bytes that all restored files together may have. Default: no limit. */
  maxOutput?: number | undefined;
}

/** A file of a model. */
export interface ManifestFile {
  /** The path inside the model's folder. */
  path: string;
  /** Length in bytes. */
  bytes: number;
  /** BLAKE3 of the file in hex. */
  blake3: string;
}

/** A file of a model with its archive. */
export interface ManifestEntry {
  /** The file that the archive restores. */
  file: ManifestFile;
  /** The archive: its path in the folder of archives, its length, and its root digest in hex. */
  archive: { path: string; bytes: number; root: string };
  /** The base files that the archive needs, as indexes in `base` of the manifest. */
  base: number[];
}

/** The description of a folder of archives: the file `bitx.json`. */
export interface Manifest {
  format: 'bitx-folder';
  version: 1;
  /** The files of the base that the archives need. */
  base: ManifestFile[];
  /** The files of the model. */
  files: ManifestEntry[];
}

/** The result of a call that writes a folder. */
export interface FolderResult {
  manifest: Manifest;
  /** The bytes of the archives of all files that were written. */
  storedBytes: number;
  /** The bytes of these files. */
  restoredBytes: number;
  /** The files by their paths, unless the caller chose their destination. */
  files: Map<string, Blob>;
}
