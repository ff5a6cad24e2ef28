import { abortError, onAbort } from '../abort.js';
import { BitxError, fromWire } from '../errors.js';
import type { FromWorker, Operations, ToWorker } from './messages.js';

/** The default time limit of each step of the start, in milliseconds. */
const STEP_LIMIT_MS = 20_000;

/** The other end of a client: a worker or a stand-in for one. */
export interface Peer {
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: ErrorEvent) => void) | null;
  postMessage(message: object, transfer: object[]): void;
  terminate(): void;
}

/** Throws where no worker can be started; `name` names what needs one. */
export function requireWorkers(name: string): void {
  if (typeof Worker === 'function') return;
  throw new BitxError('unsupported', `${name} needs a worker, and none can be started here`);
}

/** The context of a call besides its arguments. */
export interface CallContext<Progress> {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/** A worker, and the way to open it. */
export interface ClientOptions {
  /** The name of the worker in error messages. */
  name: string;
  peer: Peer;
  /** The address of the worker's script, unless the script is part of a bundle. */
  script?: string | undefined;
  /** Sent to the worker once it has loaded. */
  settings: object;
  /** The time limit of each step of the start, in milliseconds. */
  stepLimit?: number;
}

/** The callbacks that end a call. */
interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/**
 * The page's end of a worker that runs operations concurrently. A client that has ended cannot be
 * restarted. `Extra` is additional context that the calls of some workers have.
 */
export class WorkerClient<T extends Operations<T>, Progress, Opened = undefined, Extra = object> {
  protected readonly calls = new Map<number, CallContext<Progress> & Partial<Extra> & Pending>();
  readonly #name: string;
  readonly #peer: Peer;
  readonly #stepLimit: number;
  readonly #opening = Promise.withResolvers<Opened>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextId = 0;
  #opened = false;
  #ended: BitxError | undefined;

  /** Waits for the worker to load and then sends it the settings. */
  protected constructor({ name, peer, script, settings, stepLimit = STEP_LIMIT_MS }: ClientOptions) {
    this.#name = name;
    this.#peer = peer;
    this.#stepLimit = stepLimit;
    this.#limitTime();
    peer.onerror = ({ message }) => this.fail(message || notLoaded(script));
    peer.onmessage = ({ data }) => {
      if (data.type === 'loaded') this.send({ type: 'open', settings } satisfies ToWorker<object, T>);
      this.receive(data);
    };
  }

  /** Resolves to the worker's report of what it has opened, once it is ready for calls. */
  get opened(): Promise<Opened> {
    return this.#opening.promise;
  }

  /** The reason for which the worker has ended, once it has. */
  get ended(): BitxError | undefined {
    return this.#ended;
  }

  /** Runs one operation. After an abort, rejects once the worker has ended it. */
  async call<O extends keyof T>(
    operation: O,
    args: T[O]['args'],
    context: CallContext<Progress> & Partial<Extra> = {},
    transfer: object[] = [],
  ): Promise<T[O]['result']> {
    const { signal } = context;
    this.check(signal);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.calls.set(id, { ...context, resolve, reject });
    const abort = () => {
      this.send({ type: 'abort', id } satisfies ToWorker<object, T>);
      this.aborted(id);
    };
    const forget = signal && onAbort(signal, abort);
    this.send({ type: 'call', id, operation, args } satisfies ToWorker<object, T>, transfer);
    try {
      return await promise;
    } finally {
      this.calls.delete(id);
      forget?.();
    }
  }

  /** Ends the worker; all pending calls reject with `error`. */
  end(error: BitxError): void {
    if (this.#ended) return;
    this.#ended = error;
    clearTimeout(this.#timer);
    this.#peer.terminate();
    this.#opening.reject(error);
    for (const { reject } of this.calls.values()) reject(error);
  }

  /** Called when a call has been aborted. */
  protected aborted(_id: number): void {}

  /** Throws if no call may begin: the client has ended, or the signal is aborted. */
  protected check(signal: AbortSignal | undefined): void {
    if (this.#ended) throw this.#ended;
    if (signal?.aborted) throw abortError(signal);
  }

  protected send(message: object, transfer: object[] = []): void {
    this.#peer.postMessage(message, transfer);
  }

  protected receive(message: FromWorker<Opened, Progress>): void {
    const call = 'id' in message ? this.calls.get(message.id ?? -1) : undefined;
    if (message.type === 'loaded' || message.type === 'step') this.#limitTime();
    else if (message.type === 'opened') {
      clearTimeout(this.#timer);
      this.#opened = true;
      this.#opening.resolve(message.opened);
    } else if (message.type === 'progress') call?.onProgress?.(message.progress);
    else if (message.type === 'done') call?.resolve(message.result);
    else if (message.type === 'error') {
      const { id, error, fatal } = message;
      call?.reject(error.code === 'aborted' ? abortError(call.signal) : fromWire(error));
      if (fatal) this.fail(error.message);
      else if (id === undefined) this.end(fromWire(error));
    }
  }

  /** Ends the worker after a fault. */
  protected fail(message: string): void {
    const code = this.#opened ? 'internal' : 'start-failed';
    this.end(new BitxError(code, `The ${this.#name} failed: ${message}`));
  }

  #limitTime(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.fail('it did not respond in time'), this.#stepLimit);
  }
}

/** Tells that a script could not be loaded, and what to do about it. */
function notLoaded(script: string | undefined): string {
  // A bundler may have put the address of a file on the machine that it ran on here.
  const place = /^http/.test(script as string) ? ` from ${script}` : '';
  return `its script could not be loaded${place} (see workerUrl; in Vite, optimizeDeps.exclude)`;
}
