import type { WireError } from '../errors.js';

/** The operations of a worker. */
export type Operations<T> = { [Name in keyof T]: { args: unknown; result: unknown } };

/** A call of one of a worker's operations. */
export interface Call<T extends Operations<T>, Name extends keyof T = keyof T> {
  type: 'call';
  id: number;
  operation: Name;
  args: T[Name]['args'];
}

/** The messages of every client to its worker. */
export type ToWorker<Settings, T extends Operations<T>> =
  | { type: 'open'; settings: Settings }
  | Call<T>
  | { type: 'abort'; id: number };

/** The messages of every worker to its client. */
export type FromWorker<Opened, Progress> =
  /** The script has loaded and listens; a message sent any earlier could be lost. */
  | { type: 'loaded' }
  /** A step of the start is complete, so that the time limit begins anew. */
  | { type: 'step' }
  /** The worker is ready for calls; `opened` describes what it has opened. */
  | { type: 'opened'; opened: Opened }
  | { type: 'progress'; id: number; progress: Progress }
  | { type: 'done'; id: number; result: unknown }
  /**
   * The call `id` has failed; without an `id`, the worker could not start. After a `fatal` error,
   * the worker must not be used again.
   */
  | { type: 'error'; id: number | undefined; error: WireError; fatal: boolean };
