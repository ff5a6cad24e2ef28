import { BitxError, messageOf } from '../common/index.js';
import { isHandle } from './inputs.js';
import type { Request } from './protocol.js';
import type { BitxStream, Output } from './types.js';

/** Returns the way in which the worker hands over its output. */
export function outputKind(output: Output | undefined): Request['output'] {
  if (output === undefined) return 'blob';
  if (output instanceof WritableStream) return 'stream';
  if (isHandle(output)) return output;
  throw new BitxError('invalid-argument', 'output is neither a WritableStream nor a FileSystemFileHandle');
}

/**
 * The page's end of a stream. The stream stays here, since not every browser can transfer one, and so that it can
 * be aborted even when the worker has died.
 */
export class StreamOutput {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #failure = new AbortController();
  /** Aborted once the stream takes nothing more, for instance because its reader has gone. */
  readonly failure = this.#failure.signal;
  #written = 0;
  /** Bytes that come once more. */
  #again = 0;

  constructor(stream: WritableStream<Uint8Array>) {
    if (stream.locked) throw new BitxError('invalid-argument', 'output is locked to another writer');
    this.#writer = stream.getWriter();
    this.#writer.closed.catch((cause: unknown) => this.#failure.abort(ioError(cause)));
  }

  /** Writes one part and waits until the stream wants more. */
  async write(bytes: Uint8Array): Promise<void> {
    const more = bytes.subarray(this.#again);
    this.#again -= bytes.length - more.length;
    this.#written += more.length;
    if (more.length > 0) await this.#writer.write(more).catch(fail);
  }

  /** Another worker begins anew, and makes the same bytes. */
  rewind(): void {
    this.#again = this.#written;
  }

  async close(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#writer.close().catch(fail);
  }

  /**
   * Gives up what was written, so that nothing half-written is kept. A stream finishes the write it is in before it
   * clears up, which may take for ever, so nobody waits for it.
   */
  abort(reason: unknown): void {
    this.#writer.abort(reason).catch(() => {});
  }
}

/** A stream for the caller to read. */
export function streamOf(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  length: number | undefined,
): BitxStream {
  const response = (init?: ResponseInit) => {
    const headers = new Headers(init?.headers);
    if (length !== undefined) headers.set('content-length', String(length));
    if (!headers.has('content-type')) headers.set('content-type', 'application/octet-stream');
    return new Response(stream, { ...init, headers });
  };
  return { stream, length, response };
}

function fail(cause: unknown): never {
  throw ioError(cause);
}

function ioError(cause: unknown): BitxError {
  return new BitxError('io', `The output could not be written: ${messageOf(cause)}`, { cause });
}
