import type { WireError } from './errors.js';
import type { ArchiveInfo, Mode, Progress, Stats } from './types.js';

/** The input files that an operation may have. */
export type Source = 'base' | 'delta' | 'target';

/** The inputs of one operation, every one readable by ranges. */
export type Sources = Partial<Record<Source, Blob>>;

/** One operation, as data. */
export interface Request {
  operation: 'inspect' | 'restore' | 'compress';
  sources: Sources;
  options: { format?: 'v1'; level?: number };
  /** `stream` sends every part to the page, which owns the stream. */
  output: 'blob' | 'stream' | FileSystemFileHandle;
}

/** What an operation came to. */
export interface Outcome {
  archive: ArchiveInfo;
  blob?: Blob;
  stats?: Stats;
}

export interface StartMessage {
  type: 'start';
  mode: Mode;
  threads: number;
  wasmUrl: string | undefined;
  /** Name of the BroadcastChannel on which a thread tells the page that it has died. */
  alarm: string;
}

export type ToWorker =
  | StartMessage
  | { type: 'call'; id: number; request: Request }
  | { type: 'abort'; id: number }
  | { type: 'written'; id: number; error?: WireError };

export type FromWorker =
  /** The script has loaded and listens; a message sent any earlier could be lost. */
  | { type: 'loaded' }
  /** One more step of the start is done, so the time limit begins anew. */
  | { type: 'step' }
  | { type: 'ready' }
  | { type: 'progress'; id: number; progress: Progress }
  | { type: 'write'; id: number; bytes: Uint8Array<ArrayBuffer> }
  | { type: 'done'; id: number; outcome: Outcome }
  /** `fatal` says that the wasm instance cannot be trusted any more. */
  | { type: 'error'; id: number | undefined; error: WireError; fatal: boolean };
