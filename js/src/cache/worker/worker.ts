/** The worker script of the cache: receives calls as messages, and runs them concurrently. */

import { abortable, abortError, type Bytes, toWire } from '../../common/index.js';
import type { FromWorker, PutArgs, ToWorker } from '../messages.js';
import { type CallContext, Service } from './service.js';
import { chooseStore } from './stores/choose.js';

/** The other end of the worker's messages. */
export interface Port {
  postMessage(message: FromWorker): void;
  addEventListener(type: 'message', listener: (event: MessageEvent<ToWorker>) => void): void;
}

/** A running call. */
interface Call {
  abort: AbortController;
  part: PromiseWithResolvers<Bytes | undefined>;
  address: PromiseWithResolvers<string>;
}

/** Runs the cache for the client at the other end of a port. */
export class Host {
  readonly #calls = new Map<number, Call>();
  readonly #send: (message: FromWorker) => void;
  #service: Service | undefined;

  constructor(port: Port) {
    this.#send = (message) => port.postMessage(message);
    port.addEventListener('message', ({ data }) => this.#receive(data));
    this.#send({ type: 'loaded' });
  }

  /** Ends all calls, for a host without a worker that could be terminated. */
  end(): void {
    for (const { abort } of this.#calls.values()) abort.abort();
    this.#service?.close();
  }

  #receive(message: ToWorker): void {
    if (message.type === 'open') void this.#open(message);
    else if (message.type === 'call') void this.#run(message);
    else if (message.type === 'abort') this.#calls.get(message.id)?.abort.abort();
    else if (message.type === 'part') this.#calls.get(message.id)?.part.resolve(message.bytes);
    else this.#calls.get(message.id)?.address.resolve(message.url);
  }

  async #open({ settings }: ToWorker & { type: 'open' }): Promise<void> {
    try {
      const store = await chooseStore(settings.name, settings.backend);
      this.#service = new Service(store, settings);
      this.#send({ type: 'opened', opened: store.kind });
    } catch (error) {
      this.#send({ type: 'error', id: undefined, error: toWire(error) });
    }
  }

  async #run({ id, operation, args }: ToWorker & { type: 'call' }): Promise<void> {
    const abort = new AbortController();
    const call: Call = { abort, part: Promise.withResolvers(), address: Promise.withResolvers() };
    this.#calls.set(id, call);
    try {
      const service = this.#service;
      const blob = operation === 'put' ? (args as PutArgs).blob : undefined;
      const perform = service?.[operation].bind(service) as (args: unknown, context: CallContext) => unknown;
      this.#send({ type: 'done', id, result: await perform(args, this.#contextOf(id, call, blob)) });
    } catch (error) {
      this.#send({
        type: 'error',
        id,
        error: toWire(abort.signal.aborted ? abortError(abort.signal) : error),
      });
    } finally {
      this.#calls.delete(id);
    }
  }

  #contextOf(id: number, call: Call, blob: Blob | undefined): CallContext {
    return {
      signal: call.abort.signal,
      report: (progress) => this.#send({ type: 'progress', id, progress }),
      refresh: (url, status) => {
        call.address = Promise.withResolvers();
        this.#send({ type: 'refused', id, url, status });
        return abortable(call.abort.signal, call.address.promise);
      },
      parts: () => (blob ? read(blob, call.abort.signal) : this.#pull(id, call)),
    };
  }

  /** Yields the parts of the page's stream, which are requested one by one. */
  async *#pull(id: number, call: Call): AsyncGenerator<Bytes, void> {
    for (;;) {
      call.part = Promise.withResolvers();
      this.#send({ type: 'pull', id });
      const bytes = await abortable(call.abort.signal, call.part.promise);
      if (!bytes) return;
      yield bytes;
    }
  }
}

// A service worker may not start workers, so the cache's client creates the host itself there.
if (!('clients' in self)) new Host(self as unknown as Port);

async function* read(blob: Blob, signal: AbortSignal): AsyncGenerator<Bytes, void> {
  const reader = blob.stream().getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    if (signal.aborted) throw abortError(signal);
    yield part.value;
  }
}
