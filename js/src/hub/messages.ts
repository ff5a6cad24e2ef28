import type { TensorPlace } from '../codec/types.js';
import type * as Common from '../common/index.js';

/** The worker's settings for the hub. */
export interface Settings {
  /** Ends with a slash. */
  url: string;
  token: string | undefined;
  retries: number;
  retryDelay: number;
  stallTimeout: number;
  partSize: number;
}

/** A tensor of a file as it is announced to the hub. */
export interface TensorDigest {
  name: string;
  dtype: string;
  shape: number[];
  /** Bytes. */
  length: number;
  blake3: string;
}

/** Digests of a file and of its tensors. */
export interface ModelDigest {
  length: number;
  blake3: string;
  tensors: TensorDigest[];
}

/** The operations of the worker. */
export interface Operations {
  /** Reads a file once for its digest and those of its tensors, which are given in the order of their places. */
  digest: { args: { blob: Blob; tensors: TensorPlace[] }; result: ModelDigest };
  /** A request with JSON, or nothing, as its body and its answer. */
  request: { args: { method: string; path: string; body?: unknown }; result: unknown };
  /** Sends what the hub does not have of a file yet. */
  upload: { args: { path: string; blob: Blob }; result: undefined };
}

export type Operation = keyof Operations;

export type ToWorker = Common.ToWorker<Settings, Operations>;

/** Progress is in bytes. */
export type FromWorker = Common.FromWorker<undefined, number>;
