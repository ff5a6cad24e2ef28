import type * as Common from '../common/index.js';
import type { Digests } from './integrity.js';
import type { Backend, CacheOptions, CacheProgress, ModelInfo, ModelStat, Verdict } from './types.js';

/** The options for the worker, with defaults filled in. */
export type Settings = Required<
  Omit<CacheOptions, 'backend' | 'persist' | 'crossOrigin' | 'workerUrl' | 'directory'>
> & {
  backend: Backend | undefined;
};

export interface Found {
  file: File;
  model: ModelInfo;
  /** The file in the origin private file system, if it is there. */
  handle?: FileSystemFileHandle | undefined;
}

export interface FetchArgs {
  url: string;
  integrity: string | undefined;
  headers: Record<string, string>;
  /** `true` if the page can supply a new URL. */
  refreshes: boolean;
}

export interface PutArgs {
  url: string;
  /** Undefined if the page sends a stream. */
  blob: Blob | undefined;
  size: number | undefined;
  integrity: string | undefined;
  labels: Record<string, string>;
}

/** The operations of the worker. */
export interface Operations {
  fetch: { args: FetchArgs; result: Found };
  put: { args: PutArgs; result: Found };
  match: { args: { url: string }; result: Found | undefined };
  find: { args: { digest: string }; result: Found | undefined };
  stat: { args: { url: string }; result: ModelStat | undefined };
  list: { args: object; result: ModelStat[] };
  digest: { args: { blob: Blob }; result: Digests };
  verify: { args: { url: string }; result: Verdict };
  delete: { args: { url: string }; result: boolean };
}

export type ToWorker = Common.ToWorker<Settings, Operations>;

/** Requests another URL, since the server refuses this one. */
export interface Refused extends Common.Question {
  type: 'refused';
  id: number;
  url: string;
  status: number;
}

export type FromWorker =
  | Common.FromWorker<Backend, CacheProgress>
  /** Requests the next part of a stream; the answer is undefined at its end. */
  | ({ type: 'pull'; id: number } & Common.Question)
  | Refused;
