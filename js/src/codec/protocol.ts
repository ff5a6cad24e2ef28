import type { Question, WireError } from '../common/index.js';
import type {
  ArchiveInfo,
  CompressOptions,
  Mode,
  Progress,
  RestoreOptions,
  Stats,
  TensorPlace,
} from './types.js';

/** The input files that an operation may have. */
export type Source = 'base' | 'delta' | 'target' | 'graph';

/** A file as the worker gets it. `port` leads to the page, for what only that can do. */
export type WireFile =
  | Blob
  | FileSystemFileHandle
  /** From a server without ranges the page can be asked to fetch it whole. */
  | { url: string; port: MessagePort }
  /** Ranges are asked for on `port`. */
  | { size: number; port: MessagePort };

/** A question to the page on a file's port: to fetch the file and tell its size, or for a range of it. */
export type PortQuestion = Question & ({ whole: true } | { offset: number; length: number });

/** The inputs of one operation. */
export type Sources = Partial<Record<Source, WireFile[]>>;

/** The purpose of a worker. Each role has its own wasm files, so that pages download only what they use. */
export type Role = 'restore' | 'compress';

/** The operations of the core: `tensor` restores a single tensor, `layout` lists the tensors of a model. */
export type Operation = 'inspect' | 'layout' | 'restore' | 'tensor' | 'compress';

/** The options of an operation, which the core takes besides the inputs. */
export type OperationOptions = { name?: string } & Pick<RestoreOptions, 'maxOutput'> &
  Pick<CompressOptions, 'format' | 'effort' | 'level'>;

/** One operation, as data. */
export interface Request {
  operation: Operation;
  sources: Sources;
  options: OperationOptions;
  /** `stream` sends every part to the page, which owns the stream. */
  output: 'blob' | 'stream' | FileSystemFileHandle;
}

/** The result of an operation. */
export interface Outcome {
  archive?: ArchiveInfo;
  /** The layout of a model. */
  tensors?: TensorPlace[];
  /** The output where the caller gave no place for it. */
  blob?: Blob | undefined;
  stats?: Stats;
}

export interface StartMessage {
  type: 'start';
  role: Role;
  mode: Mode;
  threads: number;
  wasmUrl: string | undefined;
  /** Name of the BroadcastChannel on which a thread tells the page that it has died. */
  alarm: string;
}

export type ToWorker =
  | StartMessage
  | { type: 'call'; id: number; request: Request }
  | { type: 'abort'; id: number };

export type FromWorker =
  /** The script has loaded and listens; a message sent any earlier could be lost. */
  | { type: 'loaded' }
  /** One more step of the start is done, so the time limit begins anew. */
  | { type: 'step' }
  | { type: 'ready' }
  /** The inputs are sound so far; the output will be this long, where that is known. */
  | { type: 'opened'; id: number; length: number | undefined }
  | { type: 'progress'; id: number; progress: Progress }
  | ({ type: 'write'; id: number; bytes: Uint8Array<ArrayBuffer> } & Question)
  | { type: 'done'; id: number; outcome: Outcome }
  /** `fatal` says that the wasm instance cannot be trusted any more. */
  | { type: 'error'; id?: number; error: WireError; fatal: boolean };
