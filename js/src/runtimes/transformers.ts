/**
 * A cache for transformers.js.
 *
 * @module bitx-wasm/transformers
 */
import type { Bitx } from '../codec/bitx.js';
import type { CallOptions, Input } from '../codec/types.js';
import { checkOptions } from '../common/index.js';

/**
 * A fine-tune by its base and its delta. Inputs that can be read only once, such as a `Response`,
 * serve a single `match`.
 */
export interface FineTuneParts extends CallOptions {
  /**
   * The model that the delta was made against; for a sharded model, its files in the order of
   * compression.
   */
  base: Input | Input[];
  /** The `.bitx` archive. */
  delta: Input;
}

/** The interface that transformers.js expects of `env.customCache`; a `Cache` has it as well. */
export interface CustomCache {
  /** Returns the stored response for a request, if there is one. */
  match(request: string): Promise<Response | undefined>;
  /** Stores a response. */
  put(request: string, response: Response): Promise<void>;
}

/** Options of {@link restoringCache}. */
export interface RestoringCacheOptions {
  /** The instance that restores. It must live as long as the cache is used. */
  bitx: Pick<Bitx, 'restoreStream'>;
  /**
   * Returns the fine-tune for a request; undefined if the request is for another file.
   * transformers.js requests a URL and a local path, such as `/models/mine/onnx/model.onnx`.
   */
  find: (request: string) => FineTuneParts | undefined | Promise<FineTuneParts | undefined>;
  /**
   * Called with the error of a failed restore. transformers.js (4.3.1) never settles if external
   * data fails, so a page learns of the failure only here.
   */
  onError?: (error: unknown, request: string) => void;
  /** The cache for all other files. Default: none. */
  others?: CustomCache;
}

/**
 * Returns a cache for transformers.js that restores fine-tunes.
 *
 * A failed restore does not count as a miss, which would download the whole file. Instead, the body
 * of the response fails, and `onError` gets the `BitxError`.
 *
 * Throws `invalid-argument`; a restore fails with the codes of `Bitx.restore`.
 *
 * @example
 * ```ts
 * env.useCustomCache = true;
 * env.customCache = restoringCache({ bitx, find: (request) => fineTunes.get(request) });
 * ```
 */
export function restoringCache(options: RestoringCacheOptions): CustomCache {
  checkOptions('restoringCache', options, 'bitx find onError others');
  const { bitx, find, onError, others } = options;
  return {
    match: async (request) => {
      const tell = (error: unknown) => onError?.(error, request);
      try {
        const parts = await find(request);
        if (!parts) return others?.match(request);
        const { stream, length } = await bitx.restoreStream(parts);
        const headers = { 'content-length': String(length), 'content-type': 'application/octet-stream' };
        return new Response(watched(stream, tell), { headers });
      } catch (error) {
        tell(error);
        return new Response(new ReadableStream({ start: (controller) => controller.error(error) }));
      }
    },
    put: async (request, response) => {
      await others?.put(request, response);
    },
  };
}

/** Returns the same stream, and reports its failure. */
function watched(stream: ReadableStream<Uint8Array<ArrayBuffer>>, tell: (error: unknown) => void) {
  const reader = stream.getReader();
  const pull = async (controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>) => {
    const { done, value } = await reader.read().catch((error: unknown) => {
      tell(error);
      throw error;
    });
    if (done) controller.close();
    else controller.enqueue(value);
  };
  return new ReadableStream({ pull, cancel: (reason) => reader.cancel(reason) }, { highWaterMark: 0 });
}
