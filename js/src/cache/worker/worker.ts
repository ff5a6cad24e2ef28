/** The worker script of the cache: receives calls as messages, and runs them concurrently. */

import {
  abortError,
  type Bytes,
  type Call,
  type Port,
  type Running,
  WorkerHost,
} from '../../common/index.js';
import type { Operations, PutArgs, Settings } from '../messages.js';
import type { Backend, CacheProgress } from '../types.js';
import { type CallContext, Service } from './service.js';
import { chooseStore } from './stores/choose.js';
import { partsOf } from './stream.js';

/** Runs the cache for the client at the other end of a port. */
export class Host extends WorkerHost<Settings, Operations, CacheProgress, Backend> {
  #service: Service | undefined;

  /** Ends all calls, in a service worker, which has no worker that could be terminated. */
  end(): void {
    for (const abort of this.aborts.values()) abort.abort(abortError(undefined));
    this.#service?.close();
  }

  protected async open(settings: Settings): Promise<Backend> {
    const store = await chooseStore(settings.name, settings.backend);
    this.#service = new Service(store, settings);
    return store.kind;
  }

  protected async perform(
    { operation, args }: Call<Operations>,
    running: Running<CacheProgress>,
  ): Promise<unknown> {
    const service = this.#service;
    const blob = operation === 'put' ? (args as PutArgs).blob : undefined;
    const perform = service?.[operation].bind(service) as (args: unknown, context: CallContext) => unknown;
    return perform(args, this.#contextOf(running, blob));
  }

  #contextOf({ id, signal, report }: Running<CacheProgress>, blob: Blob | undefined): CallContext {
    return {
      signal,
      report,
      refresh: (url, status) => this.ask({ type: 'refused', id, url, status }, signal),
      parts: () => (blob ? partsOf(blob, signal) : this.#pull(id, signal)),
    };
  }

  /** Yields the parts of the page's stream, which are requested one by one. */
  async *#pull(id: number, signal: AbortSignal): AsyncGenerator<Bytes, void> {
    for (;;) {
      const bytes = await this.ask<Bytes | undefined>({ type: 'pull', id }, signal);
      if (!bytes) return;
      yield bytes;
    }
  }
}

// A service worker may not start workers, so the cache's client creates the host itself there. So
// it would in Node's main thread, which has no page to send messages to.
if ('postMessage' in globalThis && !('clients' in globalThis)) new Host(globalThis as unknown as Port);
