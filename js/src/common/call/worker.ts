import { abortable, abortError } from '../abort.js';
import { toWire, type WireError } from '../errors.js';
import type { Call, FromWorker, Operations, ToWorker } from './messages.js';
import { ask } from './rpc.js';

/** The other end of a worker's messages: its scope, or a port in the place of it. */
export interface Port {
  postMessage(message: object, transfer: object[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

/** The context of a running call. */
export interface Running<Progress> {
  id: number;
  signal: AbortSignal;
  report(progress: Progress): void;
}

/**
 * The worker's end of a `WorkerClient`: opens the worker once, and runs its operations
 * concurrently.
 */
export abstract class WorkerHost<Settings, T extends Operations<T>, Progress, Opened = undefined> {
  readonly #port: Port;
  /** Aborts the running calls. */
  protected readonly aborts = new Map<number, AbortController>();

  constructor(port: Port) {
    this.#port = port;
    port.addEventListener('message', ({ data }: MessageEvent<ToWorker<Settings, T>>) => {
      if (data.type === 'open') void this.#open(data.settings);
      else if (data.type === 'call') void this.#run(data);
      else if (data.type === 'abort') this.aborts.get(data.id)?.abort(abortError(undefined));
    });
    this.send({ type: 'loaded' } satisfies FromWorker<Opened, Progress>);
  }

  /** Prepares the worker for calls. Its result describes what it has opened. */
  protected abstract open(settings: Settings): Opened | Promise<Opened>;

  /** Runs one operation. */
  protected abstract perform(call: Call<T>, running: Running<Progress>): Promise<unknown>;

  /** Returns `true` if the worker must not be used again after an error. */
  protected isFatal(_: WireError): boolean {
    return false;
  }

  /** Sends a question to the page and waits for its answer, which may never come. */
  protected ask<A>(message: object, signal: AbortSignal, transfer: object[] = []): Promise<A> {
    return abortable(signal, ask<A>(this.#port, message, transfer));
  }

  protected send(message: object): void {
    this.#port.postMessage(message, []);
  }

  /** Reports a failure of the worker itself or, with an `id` and a `signal`, of a call. */
  protected fail(thrown: unknown, id?: number, signal?: AbortSignal): void {
    const error = toWire(signal?.aborted ? signal.reason : thrown);
    const fatal = this.isFatal(toWire(thrown));
    this.send({ type: 'error', id, error, fatal } satisfies FromWorker<Opened, Progress>);
  }

  async #open(settings: Settings): Promise<void> {
    try {
      const opened = await this.open(settings);
      this.send({ type: 'opened', opened } satisfies FromWorker<Opened, Progress>);
    } catch (error) {
      this.fail(error);
    }
  }

  async #run(call: Call<T>): Promise<void> {
    const { id } = call;
    const abort = new AbortController();
    const { signal } = abort;
    this.aborts.set(id, abort);
    const report = (progress: Progress) =>
      this.send({ type: 'progress', id, progress } satisfies FromWorker<Opened, Progress>);
    try {
      const result = await this.perform(call, { id, signal, report });
      this.send({ type: 'done', id, result } satisfies FromWorker<Opened, Progress>);
    } catch (error) {
      this.fail(error, id, signal);
    } finally {
      this.aborts.delete(id);
    }
  }
}
