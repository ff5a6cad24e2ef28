import { absolute, type CallContext, type Peer, WorkerClient } from '../common/index.js';
import type { FromWorker, Operations, Settings, ToWorker } from './messages.js';
import type { Backend, CacheProgress } from './types.js';

/** The sources that the worker may request during a call. */
interface Extra {
  refreshUrl: ((url: string, status: number) => string | URL | Promise<string | URL>) | undefined;
  /** The stream whose parts the worker requests. */
  stream: ReadableStream<Uint8Array> | undefined;
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
}

type Context = CallContext<CacheProgress> & Partial<Extra>;

/** The page's end of the cache's worker. */
export class Client extends WorkerClient<Operations, CacheProgress, Backend, Extra> {
  backend!: Backend;

  /** Opens a client; resolves once the worker has opened its store. */
  static async open(settings: Settings, peer: Peer): Promise<Client> {
    const client = new Client('cache', settings, peer);
    client.backend = await client.opened;
    return client;
  }

  /** Runs one operation. A stream in the context then belongs to it. */
  override async call<O extends keyof Operations>(
    operation: O,
    args: Operations[O]['args'],
    context: Context = {},
  ): Promise<Operations[O]['result']> {
    this.check(context.signal);
    const reader = context.stream?.getReader();
    try {
      return await super.call(operation, args, { ...context, reader });
    } catch (error) {
      reader?.cancel(error).catch(() => {});
      throw error;
    }
  }

  protected override receive(message: FromWorker): void {
    if (message.type === 'pull') void this.#serve(message.id, (call) => this.#supply(message.id, call));
    else if (message.type === 'refused') void this.#serve(message.id, (call) => this.#refresh(message, call));
    else super.receive(message);
  }

  /**
   * Serves a request of the worker. If the caller's stream or function fails, the call rejects with
   * that error.
   */
  async #serve(id: number, action: (call: Context) => Promise<void>): Promise<void> {
    const call = this.calls.get(id);
    try {
      if (call) await action(call);
    } catch (cause) {
      call?.reject(cause);
      this.send({ type: 'abort', id } satisfies ToWorker);
    }
  }

  /** Sends the next part of the caller's stream. */
  async #supply(id: number, { reader }: Context): Promise<void> {
    const next = await reader?.read();
    const bytes = next?.value && owned(next.value);
    this.send({ type: 'part', id, bytes } satisfies ToWorker, bytes ? [bytes.buffer] : []);
  }

  async #refresh(
    { id, url, status }: FromWorker & { type: 'refused' },
    { refreshUrl }: Context,
  ): Promise<void> {
    const fresh = (await refreshUrl?.(url, status)) ?? url;
    this.send({ type: 'address', id, url: absolute(fresh) } satisfies ToWorker);
  }
}

/** Returns bytes with a buffer of their own, which can be transferred. */
function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const whole = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
