import { abortError, BitxError, messageOf, toWire, type WireError } from './errors.js';
import type { Request } from './protocol.js';
import type { Output } from './types.js';

/** How the worker should hand over what it makes. */
export function outputKind(output: Output | undefined): Request['output'] {
  if (output === undefined) return 'blob';
  if (output instanceof WritableStream) return 'stream';
  if (typeof FileSystemFileHandle === 'function' && output instanceof FileSystemFileHandle) return output;
  throw new BitxError('invalid-argument', 'output is neither a WritableStream nor a FileSystemFileHandle');
}

/**
 * The page's end of a stream. The stream stays here, since not every browser can transfer one, and so that it can
 * be aborted even when the worker has died.
 */
export class StreamOutput {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;

  constructor(stream: WritableStream<Uint8Array>) {
    if (stream.locked) throw new BitxError('invalid-argument', 'output is locked to another writer');
    this.#writer = stream.getWriter();
    // A stream that fails is noticed at the next write.
    this.#writer.closed.catch(() => {});
  }

  /** Writes one part and waits until the stream wants more. */
  async write(bytes: Uint8Array): Promise<WireError | undefined> {
    try {
      await this.#writer.write(bytes);
      return undefined;
    } catch (cause) {
      return toWire(ioError(cause));
    }
  }

  async close(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) throw abortError(signal);
    try {
      await this.#writer.close();
    } catch (cause) {
      throw ioError(cause);
    }
  }

  /**
   * Gives up what was written, so that nothing half-written is kept. A stream finishes the write it is in before it
   * clears up, which may take for ever, so nobody waits for it.
   */
  abort(reason: unknown): void {
    this.#writer.abort(reason).catch(() => {});
  }
}

function ioError(cause: unknown): BitxError {
  return new BitxError('io', `The output could not be written: ${messageOf(cause)}`, { cause });
}
