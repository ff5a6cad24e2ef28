import type { WireError } from '../errors.js';

/** The operations of a worker. */
export type Operations<T> = { [Name in keyof T]: { args: unknown; result: unknown } };

/** The messages of every client to its worker. */
export type ToWorker<Settings, T extends Operations<T>> =
  | { type: 'open'; settings: Settings }
  | { type: 'call'; id: number; operation: keyof T; args: T[keyof T]['args'] }
  | { type: 'abort'; id: number };

/** The messages of every worker to its client. */
export type FromWorker<Opened, Progress> =
  /** The script has loaded and listens; a message sent any earlier could be lost. */
  | { type: 'loaded' }
  /** The worker is ready for calls; `opened` describes what it has opened. */
  | { type: 'opened'; opened: Opened }
  | { type: 'progress'; id: number; progress: Progress }
  | { type: 'done'; id: number; result: unknown }
  /** The call `id` has failed; without an `id`, the worker could not start. */
  | { type: 'error'; id: number | undefined; error: WireError };
