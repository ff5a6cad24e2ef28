import type { Answer, Calls } from './messages.js';

/** The page's end of the worker that counts differences. */
export class Counter {
  readonly #worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;

  constructor() {
    this.#worker.addEventListener('message', ({ data }: MessageEvent<Answer>) => this.#settle(data));
    this.#worker.addEventListener('error', ({ message }) => {
      for (const { reject } of this.#pending.values()) reject(new Error(message || 'the worker failed'));
      this.#pending.clear();
    });
  }

  call<K extends keyof Calls>(call: K, args: Calls[K]['args']): Promise<Calls[K]['result']> {
    const id = this.#next++;
    const pending = Promise.withResolvers<unknown>();
    this.#pending.set(id, pending);
    this.#worker.postMessage({ id, call, args });
    return pending.promise as Promise<Calls[K]['result']>;
  }

  /** Ends the worker. Pending calls never settle, since nobody waits for them any more. */
  close(): void {
    this.#worker.terminate();
  }

  #settle(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ('error' in answer) pending?.reject(new Error(answer.error));
    else pending?.resolve(answer.result);
  }
}
