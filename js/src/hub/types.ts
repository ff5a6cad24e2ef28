import type { CachedFile, ModelCache } from '../cache/index.js';
import type { Bitx, Effort } from '../index.js';

/** Options of a {@link BitxHub}. */
export interface HubOptions {
  /** The address of a `bitx serve`. */
  url: string | URL;
  /** The bearer token that is sent with every request. Without one, the hub grants what it grants to everybody. */
  token?: string;
  /** The cache for models. Default: the cache of the usual name, opened when it is first needed. */
  cache?: ModelCache;
  /** Restores and compresses. Default: one that is made when it is first needed. */
  bitx?: Bitx;
  /** The number of failures in a row, without progress, after which the call fails. Default: 6. */
  retries?: number;
  /** Milliseconds before the first retry, unless the hub asks for another pause; they double with each. Default: 500. */
  retryDelay?: number;
  /** Milliseconds without a byte after which an upload counts as broken. Default: 30,000. */
  stallTimeout?: number;
  /** Bytes of the parts that an upload is sent in. Default: 8 MiB. */
  partSize?: number;
  /** The URL of `hub-worker.js`. Default: beside `hub.js`. */
  workerUrl?: string | URL;
}

/** The progress of a call with a file, in bytes. */
export interface HubProgress {
  /** The current phase: `download` and `restore` of a pull; `digest`, `compress` and `upload` of a push. */
  phase: 'download' | 'restore' | 'digest' | 'compress' | 'upload';
  /** The file's path in the model. */
  path: string;
  /** Bytes done. What an earlier, interrupted call has done counts. */
  loaded: number;
  /** Bytes in all; undefined while nobody has said. */
  total: number | undefined;
}

/** Options that every call has. */
export interface HubCallOptions {
  /** Aborts the call, which then rejects with the code `aborted`. The next one goes on where it was. */
  signal?: AbortSignal;
}

/** A model of the hub. */
export interface HubModel {
  /** `model` or `org/model`. */
  name: string;
  /** Bytes of its files. */
  bytes: number;
  /** The number of its files. */
  files: number;
}

/** A file of the hub's against which another one is a small delta. */
export interface HubBase {
  /** BLAKE3 of the file, in hex. */
  blake3: string;
  /** Bytes. */
  length: number;
  /** A model that it belongs to. */
  model: string;
  /** Its path there. */
  path: string;
}

/** Options of {@link BitxHub.plan}. */
export interface HubPlanOptions extends HubCallOptions {
  /** The paths of the files that are wanted. Default: all. */
  files?: string[];
}

/** Options of {@link BitxHub.pull}. */
export interface HubPullOptions extends HubPlanOptions {
  /** Called often while the call proceeds. */
  onProgress?: (progress: HubProgress) => void;
}

/** The way in which {@link BitxHub.pull} would get a file. */
export interface HubPlannedFile {
  path: string;
  /** Bytes. */
  length: number;
  /** BLAKE3 in hex. */
  blake3: string;
  /** `cache`: it is here already, whatever it was called. `delta`: restored from a base that is here. `file`: fetched. */
  from: 'cache' | 'delta' | 'file';
  /** The base that it would be restored from. */
  base?: HubBase;
  /** Bytes to download; undefined where the hub does not tell the size of a delta. */
  fetchBytes: number | undefined;
}

/** The plan of a {@link BitxHub.pull} call. Sums are `undefined` where a size is unknown. */
export interface HubPlan {
  name: string;
  files: HubPlannedFile[];
  /** Bytes of the files. */
  bytes: number;
  /** Bytes to download. */
  fetchBytes: number | undefined;
  /** Bytes that are not downloaded, thanks to what is here. */
  savedBytes: number | undefined;
  /** Bytes of storage that it takes, all told. */
  storeBytes: number | undefined;
  /** Bytes of storage that the browser grants, where it tells. */
  availableBytes: number | undefined;
  /** `true` if the files fit, as far as is known. */
  fits: boolean;
}

/** A file to push. */
export type HubPushFile = Blob | FileSystemFileHandle;

/** Options of {@link BitxHub.planPush}. */
export interface HubPushPlanOptions extends HubCallOptions {
  /** Files that may serve as bases, besides those in the cache. Those that the hub does not name are not used. */
  base?: HubPushFile | HubPushFile[];
  /** Called often while the call proceeds. */
  onProgress?: (progress: HubProgress) => void;
}

/** Options of {@link BitxHub.push}. */
export interface HubPushOptions extends HubPushPlanOptions {
  /** The effort of compression. Default: `default`. */
  effort?: Effort;
}

/** A file of the hub's that fits as a base for a push. */
export interface HubPushBase extends HubBase {
  /** Bytes of tensors that are the same in both. */
  equal: number;
  /** Bytes of tensors that have the same names, types and shapes in both. */
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
  /** `true` if the hub has the file, so that nothing of it would be sent. */
  known: boolean;
  /** The number of its tensors, and their bytes. */
  tensors: { count: number; bytes: number };
  /** The number of its tensors that the hub has, and their bytes. */
  knownTensors: { count: number; bytes: number };
  /** Files of the hub that fit as a base, best first. */
  bases: HubPushBase[];
  /** The best one that this page has: the file would be sent as a delta against it. */
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
  /** The base of the delta that was sent. */
  base?: HubBase;
  /** Bytes that were sent for it in all, earlier calls included. */
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
