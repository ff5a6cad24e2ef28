/**
 * Answers to requests, in a service worker.
 *
 * @module bitx-wasm/service-worker
 */
import type { Input } from '../../codec/types.js';
import { BitxError, checkOptions, messageOf } from '../../common/index.js';
import { loadCore } from './core.js';
import { type Range, rangeOf } from './ranges.js';
import { Restoration } from './restoration.js';
import { Spooled } from './spooled.js';

/** An input that can be read more than once. */
export type LastingInput = Exclude<Input, Response>;

/** Options of a {@link RestoredFile}. */
export interface RestoredFileOptions {
  /**
   * The model that the delta was made against; for a sharded model, its files in the order of
   * compression.
   */
  base: LastingInput | LastingInput[];
  /** The `.bitx` archive. */
  delta: LastingInput;
  /** The URL of `bitx-restore.wasm`. Default: beside `service-worker.js`. */
  wasmUrl?: string | URL;
  /** Headers of the responses, such as a `content-type` or an `etag`. */
  headers?: ConstructorParameters<typeof Headers>[0];
}

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * Answers requests for a fine-tune with the restored file, in a service worker.
 *
 * ```ts
 * const tuned = new RestoredFile({ base: '/base.safetensors', delta: '/fine-tune.bitx' });
 * addEventListener('fetch', (event) => {
 *   if (new URL(event.request.url).pathname === '/tuned.safetensors') event.respondWith(tuned.respond(event.request));
 * });
 * ```
 */
export class RestoredFile {
  readonly #options: RestoredFileOptions;
  #spooled: Promise<Spooled> | undefined;
  #length: number | undefined;

  constructor(options: RestoredFileOptions) {
    checkOptions('RestoredFile', options, 'base delta wasmUrl headers');
    this.#options = options;
  }

  /**
   * Answers a GET or HEAD request: 200 with the whole file, 206 with a range, 416 for a range
   * outside the file. If the inputs do not match or cannot be read, the answer is a 502 with the
   * error's message as the body and the error's code in the header `x-bitx-error`. A later failure
   * breaks off the body.
   *
   * Never rejects: the answer has the code.
   *
   * @example
   * ```ts
   * addEventListener('fetch', (event) => event.respondWith(tuned.respond(event.request)));
   * ```
   */
  async respond(request: Request): Promise<Response> {
    try {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        return new Response(null, { status: 405, headers: { allow: 'GET, HEAD' } });
      }
      await loadCore(this.#options.wasmUrl);
      return await this.#answer(request);
    } catch (error) {
      const code = error instanceof BitxError ? error.code : 'internal';
      return new Response(messageOf(error), { status: 502, headers: { 'x-bitx-error': code } });
    }
  }

  async #answer(request: Request): Promise<Response> {
    const length = await this.#knownLength();
    const headers = new Headers(this.#options.headers);
    headers.set('accept-ranges', 'bytes');
    if (!headers.has('content-type')) headers.set('content-type', 'application/octet-stream');
    const range = rangeOf(request, length, headers.get('etag'));
    if (range === 'none') {
      headers.set('content-range', `bytes */${length}`);
      return new Response(null, { status: 416, headers });
    }
    const { start, end } = range === 'all' ? { start: 0, end: length } : range;
    headers.set('content-length', String(end - start));
    if (range !== 'all') headers.set('content-range', `bytes ${start}-${end - 1}/${length}`);
    const body = request.method === 'HEAD' ? null : await this.#body({ start, end });
    return new Response(body, { status: range === 'all' ? 200 : 206, headers });
  }

  async #knownLength(): Promise<number> {
    if (this.#length === undefined) {
      const restoration = await this.#open();
      restoration.end();
      this.#length = restoration.length;
    }
    return this.#length;
  }

  #open(): Promise<Restoration> {
    const { base, delta } = this.#options;
    return Restoration.open({ base, delta });
  }

  async #body(range: Range): Promise<Body> {
    if (range.start === 0) return fromStart(await this.#open(), range.end);
    this.#spooled ??= this.#open().then((restoration) => new Spooled(restoration));
    const current = this.#spooled;
    // After a failure, the next request starts another restore.
    const forget = () => {
      if (this.#spooled === current) this.#spooled = undefined;
    };
    return fromSpool(await current.catch(rethrow(forget)), range, forget);
  }
}

/** Returns the bytes from the start of the file to `end`, without keeping them. */
function fromStart(restoration: Restoration, end: number): Body {
  let at = 0;
  return pulled(
    async () => {
      const bytes = at < end ? await restoration.next() : undefined;
      const part = bytes?.subarray(0, end - at);
      at += part?.length ?? 0;
      if (at === end) restoration.end();
      return part;
    },
    () => restoration.end(),
  );
}

function fromSpool(spooled: Spooled, { start, end }: Range, forget: () => void): Body {
  let at = start;
  return pulled(
    async () => {
      if (at === end) return undefined;
      const bytes = await spooled.read(at, end).catch(rethrow(forget));
      at += bytes.length;
      return bytes;
    },
    () => {},
  );
}

/** Returns a stream that computes each part when its reader requests it. */
function pulled(next: () => Promise<Uint8Array<ArrayBuffer> | undefined>, cancel: () => void): Body {
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
    const bytes = await next();
    if (bytes) controller.enqueue(bytes);
    else controller.close();
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

function rethrow(action: () => void): (error: unknown) => never {
  return (error) => {
    action();
    throw error;
  };
}
