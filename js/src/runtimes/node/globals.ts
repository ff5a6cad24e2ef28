/// <reference types="node" />
/**
 * The globals that the page's half of the package expects of a browser, in terms of Node. The build puts these in the place of the
 * globals of the same names, so that nothing is added to the program that imports the package.
 */
import { availableParallelism } from 'node:os';
import { pathToFileURL } from 'node:url';
import { Worker as Thread, type TransferListItem } from 'node:worker_threads';

/** A worker as browsers have it: a thread that gets a worker's globals and then runs the script. */
export class Worker {
  onmessage: ((event: { data: unknown }) => void) | undefined;
  onerror: ((event: { message: string }) => void) | undefined;
  /** Called once the thread is gone, with the number that it had. */
  onexit: ((threadId: number) => void) | undefined;
  readonly #thread: Thread;

  /** With a `directory`, the thread has that for storage. */
  constructor(url: string | URL, { directory }: { directory?: string } = {}) {
    // Flags of the program such as `--input-type` would keep threads from starting.
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

/** Node shares memory freely; but the quick compiler of V8 before 12, in Node before 22, makes threads that hang. */
export const crossOriginIsolated = Number.parseInt(process.versions.v8, 10) >= 12;

export const navigator = { hardwareConcurrency: availableParallelism() };

/** Relative addresses are those of files below the working directory. */
export const document = {
  get baseURI(): string {
    return pathToFileURL(`${process.cwd()}/`).href;
  },
};

/** `Promise.withResolvers`, which Node has from version 22 on. */
export function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolvers: Omit<PromiseWithResolvers<T>, 'promise'> | undefined;
  const promise = new Promise<T>((resolve, reject) => {
    resolvers = { resolve, reject };
  });
  return { promise, ...(resolvers as Omit<PromiseWithResolvers<T>, 'promise'>) };
}
