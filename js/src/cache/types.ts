/**
 * A place for models: `opfs` is the origin private file system (in Node, a folder), `cache-storage`
 * the browser's Cache Storage, and `memory` the memory of the worker.
 */
export type Backend = 'opfs' | 'cache-storage' | 'memory';

/** Options of {@link ModelCache.open}. */
export interface CacheOptions {
  /** Caches of different names share nothing. Default: `models`. */
  name?: string;
  /**
   * The only backend to use. Default: the first that works here, in the order of {@link Backend}.
   */
  backend?: Backend;
  /** Bytes of a chunk, the unit of downloads, checks and repairs. Default: 8 MiB. */
  chunkSize?: number;
  /** The number of chunks that are downloaded concurrently. Default: 3. */
  connections?: number;
  /** The number of retries in a row, without a new byte, after which the call fails. Default: 6. */
  retries?: number;
  /** Milliseconds before the first retry; each further delay is twice as long. Default: 500. */
  retryDelay?: number;
  /** Milliseconds without a byte after which a transfer counts as broken. Default: 30,000. */
  stallTimeout?: number;
  /** Asks the browser once not to evict the models. Default: true. */
  persist?: boolean;
  /**
   * Asks Cross-Origin Storage (`navigator.crossOriginStorage`) for files with a known SHA-256
   * before the network, and offers it the files that were downloaded without headers, where the
   * browser or an extension has it. Default: true.
   */
  crossOrigin?: boolean;
  /** The URL of `cache-worker.js`. Default: beside `cache.js`. */
  workerUrl?: string | URL;
  /**
   * Node only: the folder of the caches. Default: `bitx-wasm` in `$XDG_CACHE_HOME` or `~/.cache`.
   */
  directory?: string;
}

/** The progress of a call, in bytes. */
export interface CacheProgress {
  /** `download` by {@link ModelCache.fetch}, `store` by `put`, `verify` by `verify`. */
  phase: 'download' | 'store' | 'verify';
  /** Bytes done, including those of an earlier, interrupted download. */
  loaded: number;
  /** Total bytes; undefined while unknown. */
  total: number | undefined;
}

/** Options of calls that take long. */
export interface CacheCallOptions {
  /**
   * Aborts the call, which then rejects with the code `aborted`. Downloaded chunks are kept, and
   * the next call resumes from them.
   */
  signal?: AbortSignal;
  /** Called often during the call, even if another tab does the work. */
  onProgress?: (progress: CacheProgress) => void;
}

/** Options of {@link ModelCache.fetch}. */
export interface FetchOptions extends CacheCallOptions {
  /**
   * The digest that the file must have: `sha256-…` or `blake3-…` in base64 or hex. The digest that
   * a hub publishes can be used as it is: 64 hex digits, quoted or not, are SHA-256. A cached model
   * with this digest is found whatever its URL.
   */
  integrity?: string;
  /** The headers of every request. */
  headers?: Record<string, string>;
  /**
   * Called when the server answers 401 or 403; returns the URL to continue with, such as one with a
   * new signature.
   */
  refreshUrl?: (url: string, status: number) => string | URL | Promise<string | URL>;
}

/** Options of {@link ModelCache.put}. */
export interface PutOptions extends CacheCallOptions {
  /** The digest that the file must have; see {@link FetchOptions.integrity}. */
  integrity?: string;
  /** The length of a stream in bytes, with which the quota is checked before the first byte. */
  size?: number;
  /** Metadata that is stored with the model. */
  labels?: Record<string, string>;
}

/** A stored model. */
export interface ModelInfo {
  /** The URL by which it was requested. */
  url: string;
  /** Bytes. */
  size: number;
  /** SHA-256 of the file, in hex. */
  sha256: string;
  /** BLAKE3 of the file, in hex. */
  blake3: string;
  /** The time at which it became complete, in milliseconds since 1970. */
  storedAt: number;
  /** The metadata that was passed to {@link ModelCache.put}. */
  labels: Record<string, string>;
}

/** A `File` to read or to pass on, with a description of the model. */
export type CachedFile = File & {
  readonly model: ModelInfo;
  /**
   * The same file in the origin private file system, if it is there. A `Bitx` that gets the `File`
   * reads it in place. It must not be written.
   */
  readonly handle?: FileSystemFileHandle;
};

/** The entry of a model. */
export interface ModelStat {
  url: string;
  /** `true` if all of the model is in the cache. */
  complete: boolean;
  /** Size of the complete model in bytes, if known. */
  size: number | undefined;
  /** Bytes that are in the cache. */
  storedBytes: number;
  /** The description of the model, if it is complete. */
  model?: ModelInfo;
}

/** The findings of {@link ModelCache.verify}. */
export interface Verdict {
  /** `true` if every byte is right. If not, the next `fetch` downloads the bad chunks again. */
  ok: boolean;
  /** The bad chunks, as ranges of bytes in the file. */
  badChunks: { offset: number; length: number }[];
}
