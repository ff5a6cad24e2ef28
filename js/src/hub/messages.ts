import type { TensorPlace } from '../codec/types.js';

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

/** A tensor of a file, in the form that the hub gets. */
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
  /**
   * Reads a file once, for its digest and those of its tensors, which must be in the order of their
   * offsets.
   */
  digest: { args: { blob: Blob; tensors: TensorPlace[] }; result: ModelDigest };
  /** Sends a request whose body and answer are JSON or empty. */
  request: { args: { method: string; path: string; body?: unknown }; result: unknown };
  /** Sends the part of a file that the hub does not have yet. */
  upload: { args: { path: string; blob: Blob }; result: undefined };
}

export type Operation = keyof Operations;
