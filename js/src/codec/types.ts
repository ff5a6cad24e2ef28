import type { RangeSource } from '../common/index.js';

export type { RangeSource };

/**
 * The way in which the codec computes:
 *
 * - `threads`: on all cores, in threads that share memory, and restores as in a pool. Browsers
 *   permit that only in cross-origin isolated pages.
 * - `pool`: on all cores, in workers with a memory each.
 * - `single`: on one core.
 */
export type Mode = 'threads' | 'pool' | 'single';

/** A container format: `v1` is the one that the `bitx-codec` command line knows. */
export type Format = 'v1' | 'v2';

/** The effort spent on a smaller archive. */
export type Effort = 'fast' | 'default' | 'max';

/**
 * Anything that can be read as a file. An input is read as a whole in advance only if there is no
 * other way:
 *
 * - A string is a URL. The parts that are needed are fetched by HTTP ranges. A server without
 *   ranges sends the whole file, into the browser's blob store. Broken connections and the statuses
 *   408, 429 and 5xx are retried.
 * - A `Response` is read to its end into the browser's blob store. The work begins with the bytes
 *   that have arrived.
 * - `Blob`s, `File`s, file handles and {@link RangeSource}s are read range by range. While it is
 *   read, a handle's file in the origin private file system is locked: browsers refuse to change or
 *   remove it. The lock ends with the call, and pauses if nothing is read for a while.
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
 * A destination for the result in place of a Blob. A file keeps its old content until the new one
 * is complete. In the origin private file system, the new content is written to `NAME.part` until
 * then.
 */
export type Output = WritableStream<Uint8Array> | FileSystemFileHandle;

/** The progress of a call, in bytes. */
export interface Progress {
  /** The current phase. `download` comes first if a file cannot be read by ranges. */
  phase: 'download' | 'restore' | 'compress' | 'merge';
  /** Bytes done. */
  loaded: number;
  /** Total bytes; undefined while the server has not told the length. */
  total: number | undefined;
}

/** Options of {@link Bitx.create}. */
export interface CreateOptions {
  /**
   * The number of threads. Default: one per core, at most 8. 1 chooses the single-threaded build.
   */
  threads?: number;
  /**
   * The mode to try first. If a mode fails, the next one in the order of {@link Mode} is tried.
   * Default: `threads`.
   */
  mode?: Mode;
  /**
   * The URL of the folder with the package's four wasm files, or the URLs of single files. Default:
   * beside `worker.js`.
   */
  wasmUrl?: string | URL | WasmUrls;
  /** The URL of `worker.js`. Default: beside `index.js`. */
  workerUrl?: string | URL;
  /** Aborts the start. */
  signal?: AbortSignal;
}

/** The URLs of the wasm files. A page needs those of the operations that it calls. */
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

/** Options of every operation. */
export interface CallOptions {
  /** Aborts the call, which then rejects with the code `aborted` and leaves no output behind. */
  signal?: AbortSignal;
  /**
   * Called often during the call. If a mode fails during a call, the call restarts in the next one,
   * and so does the progress.
   */
  onProgress?: (progress: Progress) => void;
}

/** Options of the operations that write a file. */
export interface WriteOptions extends CallOptions {
  /** The destination of the output. Default: the call resolves to a Blob. */
  output?: Output;
  /** Called once, on success, with the measurements. */
  onStats?: (stats: Stats) => void;
}

/** Options of {@link Bitx.restore}. */
export interface RestoreOptions extends WriteOptions {
  /**
   * The model that the delta was made against; for a sharded model, its files in the order of
   * compression.
   */
  base: Input | Input[];
  /** The `.bitx` archive. */
  delta: Input;
  /**
   * The most bytes that the output may have. An archive that would restore to more is refused with
   * the code `limit` before a byte is written. Default: no limit.
   */
  maxOutput?: number | undefined;
}

/** A file that is computed while it is read, hardly ahead of its reader. */
export interface BitxStream {
  /**
   * The bytes. Cancelling the stream ends the work. If the work fails, the stream fails with its
   * `BitxError`.
   */
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The length of the stream in bytes: known for a restored file, undefined for an archive. */
  readonly length: number | undefined;
  /**
   * Returns a response with the stream as its body, and with a `Content-Length` if the length is
   * known.
   */
  response(init?: ResponseInit): Response;
}

/** Options of {@link Bitx.readTensor}. */
export interface ReadTensorOptions extends CallOptions {
  /**
   * The model that the delta was made against; for a sharded model, its files in the order of
   * compression.
   */
  base: Input | Input[];
  /** The `.bitx` archive. */
  delta: Input;
  /** The tensor's name. */
  name: string;
  /**
   * The most bytes that the output may have. An archive that would restore to more is refused with
   * the code `limit` before a byte is written. Default: no limit.
   */
  maxOutput?: number | undefined;
}

/** Options of {@link Bitx.compress}. */
export interface CompressOptions extends WriteOptions {
  /** The base model; for a sharded model, its files. */
  base: Input | Input[];
  /** The fine-tuned model to store. */
  target: Input;
  /**
   * For the external data of ONNX models: the `.onnx` files that describe the data of the base and
   * of the target, or one file that describes both. Each model must have all of its data in one
   * file. With graphs, the delta is coded by tensors instead of bytes; restoring needs no graph.
   * For `v2` only.
   */
  graph?: Input | [base: Input, target: Input];
  /**
   * A LoRA adapter of PEFT that was merged into the target: its `adapter_model.safetensors`, or
   * those of several. It becomes the last file of the base, which restoring needs as well:
   * `base: [base, adapter]`. For `v2` only.
   */
  adapter?: Input | Input[];
  /** The adapter's `adapter_config.json`; for several adapters, one for each. */
  config?: Input | Input[];
  /**
   * Leaves files out of the archive's base from which it takes nothing, so that restoring does not
   * need them. For `v2` only. Default: `false`.
   */
  onlyUsed?: boolean | undefined;
  /** The archive format. Default: `v2`, or `v1` when a level is given. */
  format?: Format | undefined;
  /** For `v2`: the effort of compression. Default: `default`. */
  effort?: Effort | undefined;
  /** For `v1`: the level of zstd, 3 or 4. Default: 3. */
  level?: number | undefined;
}

/** Options of {@link Bitx.merge}. */
export interface MergeOptions extends Omit<WriteOptions, 'onStats'> {
  /** The base model, a safetensors file; for a sharded model, its files. */
  base: Input | Input[];
  /** The LoRA adapter of PEFT: its `adapter_model.safetensors`. */
  adapter: Input;
  /** The adapter's `adapter_config.json`. */
  config: Input;
  /**
   * For a sharded model: the index in `base` of the file to merge into. All files are needed to
   * know that the adapter fits, and each is merged by a call of its own. Default: 0.
   */
  file?: number | undefined;
  /** Called once, on success, with the measurements. */
  onStats?: (stats: MergeStats) => void;
}

/** The measurements of a merge. */
export interface MergeStats extends Omit<Stats, 'archive'> {
  /** Always `true`: the output was computed, and no archive tells which bytes it must have. */
  computed: true;
  /** The names of the tensors that the adapter changed in the output. */
  tensors: string[];
}

/** The measurements of a call. */
export interface Stats {
  /** Bytes written to the output. */
  outputBytes: number;
  /** Bytes of the restored model, or of the model that was compressed. */
  modelBytes: number;
  /**
   * Seconds in the codec, without reading and writing. For a pool: the seconds in which at least
   * one of its workers computed.
   */
  codecSeconds: number;
  /** Seconds from the first read to the last write, without downloads. */
  totalSeconds: number;
  /** The number of threads that computed. */
  threads: number;
  /** The size of the wasm memory in bytes; for a pool, of all its memories. It never shrinks. */
  wasmBytes: number;
  /** The content of the archive that was read or written. */
  archive: ArchiveInfo;
}

/** The content of a `.bitx` archive. */
export interface ArchiveInfo {
  /** The version of the container format. */
  version: number;
  /** Size of the archive in bytes. */
  storedBytes: number;
  /** Size in bytes of the model that it restores to. */
  restoredBytes: number;
  /** BLAKE3 of the restored file in hex; version 2 only. */
  blake3?: string;
  /** The base's files that the archive was made against; version 2 only. */
  bases: {
    /** For an archive that was just made: the index of the file in the `base` of the call. */
    file?: number;
    size: number;
    blake3: string;
  }[];
  /** The model's tensors, in the archive's order. */
  tensors: TensorInfo[];
}

/** The place of a tensor in a model's file. */
export interface TensorPlace {
  name: string;
  /** Element type, as safetensors or GGUF names it. */
  dtype: string;
  shape: number[];
  /** Offset in the file in bytes. */
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
  /**
   * The low-rank prediction of its change, if it has one: the number of components, and roughly the
   * number of bytes saved.
   */
  prediction?: { rank: number; savedBytes: number };
  /** Size in the archive in bytes. */
  storedBytes: number;
  /** Restored size in bytes. */
  restoredBytes: number;
}
