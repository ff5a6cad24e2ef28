import type * as Common from '../common/index.js';
import type {
  ArchiveInfo,
  CompressOptions,
  MergeOptions,
  Mode,
  Progress,
  RestoreOptions,
  Stats,
  TensorPlace,
} from './types.js';

/** The input files that an operation may have. */
export type Source = 'base' | 'delta' | 'target' | 'graph' | 'adapter' | 'config';

/** A file as the worker gets it. `port` leads to the page, which answers `PortQuestion`s there. */
export type WireFile =
  | Blob
  | FileSystemFileHandle
  /** A file of the origin private file system, as it was when the page got it. */
  | { file: File; handle: FileSystemFileHandle }
  /** A file that the page fetches whole, on request, from a server without ranges. */
  | { url: string; port: MessagePort }
  /** A file that the page reads by ranges. */
  | { size: number; port: MessagePort };

/**
 * A question to the page on a file's port: to fetch the whole file and tell its size, or for a
 * range of it.
 */
export type PortQuestion = Common.Question & ({ whole: true } | { offset: number; length: number });

/** The inputs of one operation. */
export type Sources = Partial<Record<Source, WireFile[]>>;

/**
 * The purpose of a worker. Each role has its own wasm files, so that pages download only the code
 * that they use.
 */
export type Role = 'restore' | 'compress';

/**
 * The operations of the core: `tensor` restores a single tensor, `layout` lists the tensors of a
 * model, `manifest` checks the manifest of a folder, and `plan` plans the compression of one.
 */
export type Operation =
  | 'inspect'
  | 'layout'
  | 'manifest'
  | 'plan'
  | 'restore'
  | 'tensor'
  | 'compress'
  | 'merge';

/** The options that the core takes besides the inputs. */
export type OperationOptions = { name?: string; names?: string[]; paths?: string[]; bases?: number } & Pick<
  RestoreOptions,
  'maxOutput'
> &
  Pick<CompressOptions, 'format' | 'effort' | 'level' | 'onlyUsed'> &
  Pick<MergeOptions, 'file'>;

/** One operation, as data. */
export interface Request {
  operation: Operation;
  sources: Sources;
  options: OperationOptions;
  /** The destination. `stream` sends every part to the page, which owns the stream. */
  output: 'blob' | 'stream' | FileSystemFileHandle;
}

/** The operation of a call and the destination of its output. */
export type Task = Omit<Request, 'sources'>;

/** The way in which the files of a folder are compressed. */
export interface FolderPlan {
  /** The path of each file's archive. */
  archives: string[];
  /** The numbers of the base files that each file is compressed against. */
  serving: number[][];
  /** The numbers of the files that are the graphs of each file's compression. */
  graphs: number[][];
  /** The numbers of the base files that are adapters, each with that of its configuration. */
  adapters: [file: number, config: number][];
  /** The length of each file in bytes: the base's, and behind them the target's. */
  sizes: number[];
}

/** The result of an operation. */
export interface Outcome {
  archive?: ArchiveInfo;
  /** The layout of a model. */
  tensors?: TensorPlace[];
  /** A manifest as it is written. */
  manifest?: string;
  plan?: FolderPlan;
  /** The output, unless the caller chose its destination. */
  blob?: Blob | undefined;
  stats?: Stats;
}

/** The worker's settings. */
export interface Settings {
  role: Role;
  mode: Mode;
  threads: number;
  wasmUrl: string | undefined;
  /** The name of the BroadcastChannel on which a dying thread tells the page. */
  alarm: string;
}

/** The operations of the worker. */
export type Operations = { [Name in Operation]: { args: Request; result: Outcome } };

export type ToWorker = Common.ToWorker<Settings, Operations>;

export type FromWorker =
  | Common.FromWorker<undefined, Progress>
  /** The inputs are sound so far; the output has this length, if it is known. */
  | { type: 'begun'; id: number; length: number | undefined }
  | ({ type: 'write'; id: number; bytes: Uint8Array<ArrayBuffer> } & Common.Question)
  /** A question for the name of the page. */
  | ({ type: 'page' } & Common.Question);
