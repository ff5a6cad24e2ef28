/** A place for models: files of the origin (in Node, of a folder), the browser's HTTP-like cache, or memory. */
export type Backend = 'opfs' | 'cache-storage' | 'memory';

/** Options of {@link ModelCache.open}. */
export interface CacheOptions {
  /** Caches of different names share nothing. Default: `models`. */
  name?: string;
  /** Uses this one and no other. Default: the first that works here, in the order of {@link Backend}. */
  backend?: Backend;
  /** Bytes of a chunk, the unit that is fetched, checked and repaired. Default: 8 MiB. */
  chunkSize?: number;
  /** The number of chunks that are fetched side by side. Default: 3. */
  connections?: number;
  /** The number of failures in a row, without a new byte, after which the call fails. Default: 6. */
  retries?: number;
  /** Milliseconds before the first retry; they double with each. Default: 500. */
  retryDelay?: number;
  /** Milliseconds without a byte after which a transfer counts as broken. Default: 30,000. */
  stallTimeout?: number;
  /** Asks the browser once not to evict what is stored here. Default: true. */
  persist?: boolean;
  /** The URL of `cache-worker.js`. Default: beside `cache.js`. */
  workerUrl?: string | URL;
  /** Node only: the folder that the caches lie in. Default: `bitx-wasm` in `$XDG_CACHE_HOME` or `~/.cache`. */
  directory?: string;
}

/** The progress of a call, in bytes. */
export interface CacheProgress {
  /** `download` by {@link ModelCache.fetch}, `store` by `put`, `verify` by `verify`. */
  phase: 'download' | 'store' | 'verify';
  /** Bytes done. What an interrupted download left counts. */
  loaded: number;
  /** Bytes in all; undefined while nobody has said. */
  total: number | undefined;
}

/** Options that calls have which take long. */
export interface CacheCallOptions {
  /** Aborts the call, which then rejects with the code `aborted`. What was downloaded is kept and resumed. */
  signal?: AbortSignal;
  /** Called often while the call proceeds; also while another tab does the work. */
  onProgress?: (progress: CacheProgress) => void;
}

/** Options of {@link ModelCache.fetch}. */
export interface FetchOptions extends CacheCallOptions {
  /**
   * The digest that the file must have: `sha256-…` or `blake3-…` in base64 or hex. A hub's published digest fits as it
   * is: 64 hex digits, quoted or not, are SHA-256. A model of that digest is found whatever its URL was.
   */
  integrity?: string;
  /** Sent with every request. */
  headers?: Record<string, string>;
  /** Called when the server answers 401 or 403; returns the address to go on with, such as one signed anew. */
  refreshUrl?: (url: string, status: number) => string | URL | Promise<string | URL>;
}

/** Options of {@link ModelCache.put}. */
export interface PutOptions extends CacheCallOptions {
  /** The digest that the file must have; see {@link FetchOptions.integrity}. */
  integrity?: string;
  /** Bytes of a stream, so that the quota can be checked before the first. */
  size?: number;
  /** Stored with the model. */
  labels?: Record<string, string>;
}

/** A stored model. */
export interface ModelInfo {
  /** The address it was asked for by. */
  url: string;
  /** Bytes. */
  size: number;
  /** SHA-256 of the file, in hex. */
  sha256: string;
  /** BLAKE3 of the file, in hex. */
  blake3: string;
  /** When it became whole, in milliseconds since 1970. */
  storedAt: number;
  /** The metadata that was passed to {@link ModelCache.put}. */
  labels: Record<string, string>;
}

/** A `File` to read from or to hand on, and what is known of it. */
export type CachedFile = File & { readonly model: ModelInfo };

/** The entry of a model. */
export interface ModelStat {
  url: string;
  /** `true` if all of the model is in the cache. */
  complete: boolean;
  /** Bytes of the whole, where known. */
  size: number | undefined;
  /** Bytes that are there. */
  storedBytes: number;
  /** Only of a complete one. */
  model?: ModelInfo;
}

/** The findings of {@link ModelCache.verify}. */
export interface Verdict {
  /** `true` if every byte is right. If not, the next `fetch` gets the missing chunks. */
  ok: boolean;
  /** The chunks at fault. */
  badChunks: { offset: number; length: number }[];
}
