/** Which build is at work: on all cores in shared memory, or on one. */
export type Mode = 'threads' | 'single';

/** A container format: `v1` is the one that the `bitx-codec` command line knows. */
export type Format = 'v1' | 'v2';

/** How much time to spend on a smaller archive. */
export type Effort = 'fast' | 'default' | 'max';

/** Anything that can be read as a file. A string is the URL to fetch. */
export type Input = string | URL | Response | Blob | ArrayBuffer | ArrayBufferView;

/** Where a result can be written instead of into a Blob. */
export type Output = WritableStream<Uint8Array> | FileSystemFileHandle;

/** How far a call has come, in bytes. */
export interface Progress {
  /** `download` while inputs are being fetched, then what is being done. */
  phase: 'download' | 'restore' | 'compress';
  /** Bytes done. */
  loaded: number;
  /** Bytes in all; undefined while a server has not said how much it sends. */
  total: number | undefined;
}

/** Options of {@link Bitx.create}. */
export interface CreateOptions {
  /** How many threads to use; by default one per core, but at most 8. 1 chooses the single-threaded build. */
  threads?: number;
  /** The URL of the folder with the package's four wasm files, or the URLs of some. Default: beside `worker.js`. */
  wasmUrl?: string | URL | WasmUrls;
  /** The URL of `worker.js`. Default: beside `index.js`. */
  workerUrl?: string | URL;
  /** Aborts the start. */
  signal?: AbortSignal;
}

/** Where to find each wasm file. A page needs those of the operations that it calls. */
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
  /** Called often while the call proceeds. */
  onProgress?: (progress: Progress) => void;
}

/** Options of the operations that write a file. */
export interface WriteOptions extends CallOptions {
  /** Where to write. Default: the call resolves to a Blob. */
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
  /** The archive format. Default: `v2`, or `v1` when a level is given. */
  format?: Format | undefined;
  /** For `v2`: how hard to compress. Default: `default`. */
  effort?: Effort | undefined;
  /** For `v1`: how hard to compress, as zstd counts levels, 3 or 4. Default: 3. */
  level?: number | undefined;
}

/** What was measured during a call. */
export interface Stats {
  /** Bytes written to the output. */
  outputBytes: number;
  /** Bytes of the restored model, or of the model that was compressed. */
  modelBytes: number;
  /** Seconds inside the codec, without reading and writing. */
  codecSeconds: number;
  /** Seconds from the first read to the last write, without downloads. */
  totalSeconds: number;
  /** How many threads computed. */
  threads: number;
  /** The size of the wasm memory, which only ever grows. */
  wasmBytes: number;
  /** What is inside the archive that was read or written. */
  archive: ArchiveInfo;
}

/** What is inside a `.bitx` archive. */
export interface ArchiveInfo {
  /** The version of the container format. */
  version: number;
  /** Size of the archive. */
  storedBytes: number;
  /** Size of the model that it restores to. */
  restoredBytes: number;
  /** The model's tensors, in the archive's order. */
  tensors: TensorInfo[];
}

/** One tensor of an archive. */
export interface TensorInfo {
  name: string;
  /** Element type, as safetensors names it. */
  dtype: string;
  shape: number[];
  /** How it is stored. */
  method: string;
  /** Bytes it takes in the archive. */
  storedBytes: number;
  /** Bytes it restores to. */
  restoredBytes: number;
}
