import type { CachedFile, ModelCache } from '../cache/index.js';
import type { Bitx, Effort } from '../index.js';

/** Options of a {@link BitxHub}. */
export interface HubOptions {
  /** The address of a `bitx serve`. */
  url: string | URL;
  /** The bearer token of every request. Without one, the hub grants only public access. */
  token?: string;
  /**
   * The cache for models. Default: the cache of the default name, opened when it is first needed.
   */
  cache?: ModelCache;
  /**
   * The instance that restores and compresses. Default: one that is created when it is first
   * needed.
   */
  bitx?: Bitx;
  /** The number of retries in a row, without progress, after which the call fails. Default: 6. */
  retries?: number;
  /**
   * Milliseconds before the first retry, unless the hub demands another pause; each further delay
   * is twice as long. Default: 500.
   */
  retryDelay?: number;
  /** Milliseconds without a byte after which an upload counts as broken. Default: 30,000. */
  stallTimeout?: number;
  /** Bytes of a part of an upload, which is sent in one request. Default: 8 MiB. */
  partSize?: number;
  /** The URL of `hub-worker.js`. Default: beside `hub.js`. */
  workerUrl?: string | URL;
}

/** The progress of a call with a file, in bytes. */
export interface HubProgress {
  /**
   * The current phase: `download` and `restore` of a pull; `digest`, `compress` and `upload` of a
   * push.
   */
  phase: 'download' | 'restore' | 'digest' | 'compress' | 'upload';
  /** The file's path in the model. */
  path: string;
  /** Bytes done, including those of an earlier, interrupted call. */
  loaded: number;
  /** Total bytes; undefined while unknown. */
  total: number | undefined;
}

/** Options of every call. */
export interface HubCallOptions {
  /**
   * Aborts the call, which then rejects with the code `aborted`. The next call continues where it
   * stopped.
   */
  signal?: AbortSignal;
}

/** A model of the hub. */
export interface HubModel {
  /** `model` or `org/model`. */
  name: string;
  /** Total bytes of its files. */
  bytes: number;
  /** The number of its files. */
  files: number;
}

/** A file of the hub that is a good base for another file: the delta is small. */
export interface HubBase {
  /** BLAKE3 of the file, in hex. */
  blake3: string;
  /** Bytes. */
  length: number;
  /** A model that has the file. */
  model: string;
  /** Its path in that model. */
  path: string;
}

/** Options of {@link BitxHub.plan}. */
export interface HubPlanOptions extends HubCallOptions {
  /** The paths of the wanted files. Default: all. */
  files?: string[];
}

/** Options of {@link BitxHub.pull}. */
export interface HubPullOptions extends HubPlanOptions {
  /** Called often during the call. */
  onProgress?: (progress: HubProgress) => void;
}

/** The way in which {@link BitxHub.pull} would get a file. */
export interface HubPlannedFile {
  path: string;
  /** Bytes. */
  length: number;
  /** BLAKE3 in hex. */
  blake3: string;
  /**
   * `cache`: the file is cached, under any name. `delta`: it is restored from a cached base and a
   * delta. `file`: it is downloaded.
   */
  from: 'cache' | 'delta' | 'file';
  /** The base that the file would be restored from. */
  base?: HubBase;
  /** Bytes to download; undefined if the hub does not tell the size of a delta. */
  fetchBytes: number | undefined;
}

/** The plan of a {@link BitxHub.pull} call. Sums are `undefined` if a size is unknown. */
export interface HubPlan {
  name: string;
  files: HubPlannedFile[];
  /** Bytes of the files. */
  bytes: number;
  /** Bytes to download. */
  fetchBytes: number | undefined;
  /** Bytes saved by cached files and bases. */
  savedBytes: number | undefined;
  /** Bytes of storage that the call needs in total. */
  storeBytes: number | undefined;
  /** Bytes of storage that the browser grants, if it reports them. */
  availableBytes: number | undefined;
  /** `true` if the files fit, as far as is known. */
  fits: boolean;
}

/** A file to push. */
export type HubPushFile = Blob | FileSystemFileHandle;

/** Options of {@link BitxHub.planPush}. */
export interface HubPushPlanOptions extends HubCallOptions {
  /**
   * Files that may serve as bases, besides those in the cache. Files that the hub does not propose
   * as bases are not used.
   */
  base?: HubPushFile | HubPushFile[];
  /** Called often during the call. */
  onProgress?: (progress: HubProgress) => void;
}

/** Options of {@link BitxHub.push}. */
export interface HubPushOptions extends HubPushPlanOptions {
  /** The effort of compression. Default: `default`. */
  effort?: Effort;
}

/** A file of the hub that fits as a base for a push. */
export interface HubPushBase extends HubBase {
  /** Bytes of the tensors that are equal in both files. */
  equal: number;
  /** Bytes of the tensors that have the same names, types and shapes in both files. */
  alike: number;
  /** `true` if this page has the base. */
  here: boolean;
}

/** The hub's knowledge of a file, and the way in which {@link BitxHub.push} would send it. */
export interface HubPlannedPush {
  path: string;
  /** Bytes. */
  length: number;
  /** BLAKE3 in hex. */
  blake3: string;
  /** `true` if the hub has the file, which is then not sent. */
  known: boolean;
  /** The number of its tensors, and their total bytes. */
  tensors: { count: number; bytes: number };
  /** The number of its tensors that the hub has, and their total bytes. */
  knownTensors: { count: number; bytes: number };
  /** Files of the hub that fit as a base, best first. */
  bases: HubPushBase[];
  /** The best base that this page has. The file would be sent as a delta against it. */
  base?: HubPushBase;
}

/** The plan of a {@link BitxHub.push} call. */
export interface HubPushPlan {
  name: string;
  files: HubPlannedPush[];
}

/** A file that has been pushed. */
export interface HubPushedFile {
  path: string;
  /** Bytes. */
  length: number;
  /** BLAKE3 in hex. */
  blake3: string;
  /** `true` if the hub had the file already. */
  known: boolean;
  /** The base of the delta that was sent; undefined if the file was sent whole or not at all. */
  base?: HubBase;
  /** Bytes sent for the file in total, including those of earlier calls. */
  sentBytes: number;
}

/** The result of a {@link BitxHub.push} call. */
export interface HubPushResult {
  name: string;
  files: HubPushedFile[];
  /** Bytes of the files. */
  bytes: number;
  /** Bytes that were sent. */
  sentBytes: number;
}

/** The files of a pulled model, by path. */
export type HubFiles = Map<string, CachedFile>;
