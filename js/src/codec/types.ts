import type { RangeSource } from '../common/index.js';

export type { RangeSource };

/**
 * The way that the codec computes: on all cores in `threads` that share memory, which browsers allow to cross-origin isolated pages;
 * on all cores in a `pool` of workers with a memory each; or on a `single` one.
 */
export type Mode = 'threads' | 'pool' | 'single';

/** A container format: `v1` is the one that the `bitx-codec` command line knows. */
export type Format = 'v1' | 'v2';

/** The time to spend on a smaller archive. */
export type Effort = 'fast' | 'default' | 'max';

/**
 * Anything that can be read as a file. None is read whole first where there is another way:
 *
 * - A string is a URL. What is needed of it is fetched, by HTTP ranges; from a server without those it is downloaded
 *   whole, into the browser's blob store. A connection that breaks, and the statuses 408, 429 and 5xx, are tried again.
 * - A `Response` is read to its end into the browser's blob store; work begins on what has arrived.
 * - `Blob`s, `File`s, file handles and {@link RangeSource}s are read range by range.
 */
export type Input =
  | string
  | URL
  | Response
  | Blob
  | FileSystemFileHandle
  | ArrayBuffer
  | ArrayBufferView
  | RangeSource;

/**
 * A destination for the result, instead of a Blob. A file gets its new content when that is whole; until then it
 * grows beside it, in the origin private file system as `NAME.part`.
 */
export type Output = WritableStream<Uint8Array> | FileSystemFileHandle;

/** The progress of a call, in bytes. */
export interface Progress {
  /** The current phase; `download` comes first if a file cannot be read by ranges. */
  phase: 'download' | 'restore' | 'compress';
  /** Bytes done. */
  loaded: number;
  /** Bytes in all; undefined while a server has not said how much it sends. */
  total: number | undefined;
}

/** Options of {@link Bitx.create}. */
export interface CreateOptions {
  /** The number of threads; by default one per core, but at most 8. 1 chooses the single-threaded build. */
  threads?: number;
  /** The mode to begin with. Where it does not work the next one is tried. Default: `threads`. */
  mode?: Mode;
  /** The URL of the folder with the package's four wasm files, or the URLs of some. Default: beside `worker.js`. */
  wasmUrl?: string | URL | WasmUrls;
  /** The URL of `worker.js`. Default: beside `index.js`. */
  workerUrl?: string | URL;
  /** Aborts the start. */
  signal?: AbortSignal;
}

/** The address of each wasm file. A page needs those of the operations that it calls. */
export interface WasmUrls {
  /** `bitx-restore.wasm` */
  restore?: string | URL;
  /** `bitx-restore-threads.wasm` */
  restoreThreads?: string | URL;
  /** `bitx-compress.wasm` */
  compress?: string | URL;
  /** `bitx-compress-threads.wasm` */
  compressThreads?: string | URL;
}

/** Options that every operation has. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the code `aborted` and leaves no output behind. */
  signal?: AbortSignal;
  /** Called often while the call proceeds. Where a mode fails in the middle, the call begins anew in the next one. */
  onProgress?: (progress: Progress) => void;
}

/** Options of the operations that write a file. */
export interface WriteOptions extends CallOptions {
  /** The destination of the output. Default: the call resolves to a Blob. */
  output?: Output;
  /** Called once, on success, with what was measured. */
  onStats?: (stats: Stats) => void;
}

/** Options of {@link Bitx.restore}. */
export interface RestoreOptions extends WriteOptions {
  /** The model that the delta was made from; a sharded one as its files, in the order they were compressed with. */
  base: Input | Input[];
  /** The `.bitx` archive. */
  delta: Input;
}

/** A file that is made while it is read: no faster, and hardly ahead. */
export interface BitxStream {
  /** The bytes. Cancelling it ends the work; a failure of the work is the stream's, as a `BitxError`. */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The number of bytes of the whole stream: always known for a restored file, never for an archive. */
  readonly length: number | undefined;
  /** The stream as the body of a response, which has a `Content-Length` where the length is known. */
  response(init?: ResponseInit): Response;
}

/** Options of {@link Bitx.readTensor}. */
export interface ReadTensorOptions extends CallOptions {
  /** The model that the delta was made from; a sharded one as its files, in the order they were compressed with. */
  base: Input | Input[];
  /** The `.bitx` archive. */
  delta: Input;
  /** The tensor's name. */
  name: string;
}

/** Options of {@link Bitx.compress}. */
export interface CompressOptions extends WriteOptions {
  /** The model to take the difference from; a sharded one as its files. */
  base: Input | Input[];
  /** The fine-tuned model to store. */
  target: Input;
  /**
   * For the external data of ONNX models: the `.onnx` files that tell what is in it, the base's and the target's, or one
   * that does for both; each with all of its data in one file. With them the delta is coded by tensors instead of bytes; restoring takes none. For `v2` only.
   */
  graph?: Input | [base: Input, target: Input];
  /** The archive format. Default: `v2`, or `v1` when a level is given. */
  format?: Format | undefined;
  /** For `v2`: how hard to compress. Default: `default`. */
  effort?: Effort | undefined;
  /** For `v1`: how hard to compress, as zstd counts levels, 3 or 4. Default: 3. */
  level?: number | undefined;
}

/** The measurements of a call. */
export interface Stats {
  /** Bytes written to the output. */
  outputBytes: number;
  /** Bytes of the restored model, or of the model that was compressed. */
  modelBytes: number;
  /** Seconds inside the codec, without reading and writing; of a pool, those in which any of its workers was. */
  codecSeconds: number;
  /** Seconds from the first read to the last write, without downloads. */
  totalSeconds: number;
  /** The number of threads that computed. */
  threads: number;
  /** The size of the wasm memory, or of all of them in a pool. It only ever grows. */
  wasmBytes: number;
  /** The content of the archive that was read or written. */
  archive: ArchiveInfo;
}

/** The content of a `.bitx` archive. */
export interface ArchiveInfo {
  /** The version of the container format. */
  version: number;
  /** Size of the archive. */
  storedBytes: number;
  /** Size of the model that it restores to. */
  restoredBytes: number;
  /** BLAKE3 of the restored file in hex; version 2 only. */
  blake3?: string;
  /** The base's files that the archive was made against; version 2 only. */
  bases: { size: number; blake3: string }[];
  /** The model's tensors, in the archive's order. */
  tensors: TensorInfo[];
}

/** The place of a tensor in a model's file. */
export interface TensorPlace {
  name: string;
  /** Element type, as safetensors or GGUF names it. */
  dtype: string;
  shape: number[];
  /** Bytes from the start of the file. */
  offset: number;
  /** Bytes. */
  length: number;
}

/** One tensor of an archive. */
export interface TensorInfo {
  name: string;
  /** Element type, as safetensors names it. */
  dtype: string;
  shape: number[];
  /** The method that stores it. */
  method: string;
  /** The low-rank prediction of its change, if it has one: number of components, about the bytes that it saved. */
  prediction?: { rank: number; savedBytes: number };
  /** Bytes it takes in the archive. */
  storedBytes: number;
  /** Bytes it restores to. */
  restoredBytes: number;
}
