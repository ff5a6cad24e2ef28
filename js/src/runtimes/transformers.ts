import type { Bitx } from '../codec/bitx.js';
import type { CallOptions, Input } from '../codec/types.js';

/** A fine-tune by its parts. What can be read only once, as a `Response`, serves a single `match`. */
export interface FineTuneParts extends CallOptions {
  /** The model that the delta was made from; a sharded one as its files, in the order they were compressed with. */
  base: Input | Input[];
  /** The `.bitx` archive. */
  delta: Input;
}

/** The interface that transformers.js expects of `env.customCache`; a `Cache` has it, too. */
export interface CustomCache {
  /** The response that is kept for a request, if there is one. */
  match(request: string): Promise<Response | undefined>;
  /** Keeps a response. */
  put(request: string, response: Response): Promise<void>;
}

/** Options of {@link restoringCache}. */
export interface RestoringCacheOptions {
  /** The instance that restores. It has to live for as long as the cache is used. */
  bitx: Pick<Bitx, 'restoreStream'>;
  /**
   * Names the fine-tune that a request is for, if it is for one. transformers.js asks for a URL and for a local path, such
   * as `/models/mine/onnx/model.onnx`.
   */
  find: (request: string) => FineTuneParts | undefined | Promise<FineTuneParts | undefined>;
  /**
   * Told why a restore failed. transformers.js (4.3.1) never settles when external data fails, whatever the reason, so this
   * is where a page learns of it.
   */
  onError?: (error: unknown, request: string) => void;
  /** The cache for all other files. Default: none. */
  others?: CustomCache;
}

/**
 * A cache for transformers.js that holds restored fine-tunes.
 *
 * A restore that fails does not count as a miss, which would download the whole file unasked: the response's body fails
 * instead, and `onError` gets the `BitxError`.
 */
export function restoringCache({ bitx, find, onError, others }: RestoringCacheOptions): CustomCache {
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

/** The same stream, whose failure is told. */
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
