/// <reference types="node" />
/**
 * The browser globals that the page's side of the package uses, implemented for Node. The build
 * replaces the globals by these exports, so that the package adds no globals to the program that
 * imports it.
 */
import { availableParallelism } from 'node:os';
import { Worker as Thread, type TransferListItem } from 'node:worker_threads';

/**
 * A worker like those of browsers: a thread that sets up a worker's globals and then runs the
 * script.
 */
export class Worker {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onerror: ((event: { message: string }) => void) | undefined;
  /** Called with the id of the thread once it has ended. */
  onexit: ((threadId: number) => void) | undefined;
  readonly #thread: Thread;

  /** Starts a thread. With a `directory`, it has that folder for storage. */
  constructor(url: string | URL, { directory }: { directory?: string } = {}) {
    // Threads must not inherit flags of the program, such as `--input-type`, which would keep them
    // from starting.
    const options = { workerData: { script: String(url), directory }, execArgv: [] };
    this.#thread = new Thread(new URL('./node-worker.js', import.meta.url), options);
    const { threadId } = this.#thread;
    this.#thread.on('exit', () => this.onexit?.(threadId));
    this.#thread.on('message', (data: unknown) => this.onmessage?.({ data }));
    this.#thread.on('error', (error) => this.onerror?.({ message: String(error) }));
  }

  postMessage(message: unknown, transfer: readonly unknown[] = []): void {
    this.#thread.postMessage(message, transfer as TransferListItem[]);
  }

  terminate(): void {
    void this.#thread.terminate();
  }
}

/**
 * `true` if threads can share memory. With V8 before version 12 (Node before 22), they can hang
 * because of its baseline compiler.
 */
export const crossOriginIsolated = Number.parseInt(process.versions.v8, 10) >= 12;

export const navigator = { hardwareConcurrency: availableParallelism() };

/** `Promise.withResolvers`, which Node has from version 22 on. */
export function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolvers: Omit<PromiseWithResolvers<T>, 'promise'> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    resolvers = { resolve, reject };
  });
  return { promise, ...(resolvers as Omit<PromiseWithResolvers<T>, 'promise'>) };
}
