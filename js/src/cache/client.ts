import { absolute, answer, type Bytes, type CallContext, WorkerClient } from '../common/index.js';
import type { FromWorker, Operations, Refused, Settings, ToWorker } from './messages.js';
import type { Started } from './peer.js';
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
  static async open(settings: Settings, started: Started): Promise<Client> {
    const client = new Client({ name: "cache's worker", settings, ...started });
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
    if (message.type === 'pull') {
      void answer(message, () => this.#serve(message, nextPart), transferOf);
    } else if (message.type === 'refused') {
      void answer(message, () => this.#serve(message, (call) => freshUrl(message, call)));
    } else super.receive(message);
  }

  /**
   * Serves a question of the worker. If the caller's stream or function fails, the call rejects
   * with that error.
   */
  async #serve<A>({ id }: { id: number }, action: (call: Context) => Promise<A>): Promise<A | undefined> {
    const call = this.calls.get(id);
    try {
      return call && (await action(call));
    } catch (cause) {
      call?.reject(cause);
      this.send({ type: 'abort', id } satisfies ToWorker);
      throw cause;
    }
  }
}

/** Returns the next part of the caller's stream; undefined at its end. */
async function nextPart({ reader }: Context): Promise<Bytes | undefined> {
  const next = await reader?.read();
  return next?.value && owned(next.value);
}

function transferOf(part: Bytes | undefined): Transferable[] {
  return part ? [part.buffer] : [];
}

async function freshUrl({ url, status }: Refused, { refreshUrl }: Context): Promise<string> {
  return absolute((await refreshUrl?.(url, status)) ?? url);
}

/** Returns bytes with a buffer of their own, which can be transferred. */
function owned(bytes: Uint8Array): Bytes {
  const whole = bytes.buffer instanceof ArrayBuffer && bytes.byteLength === bytes.buffer.byteLength;
  return whole ? (bytes as Bytes) : new Uint8Array(bytes);
}
