import { BitxError, messageOf } from '../common/index.js';
import { isHandle } from './inputs.js';
import type { Request } from './protocol.js';
import type { BitxStream, Output } from './types.js';

/** Returns the form in which the worker delivers its output. */
export function outputKind(output: Output | undefined): Request['output'] {
  if (output === undefined) return 'blob';
  if (output instanceof WritableStream) return 'stream';
  if (isHandle(output)) return output;
  throw new BitxError('invalid-argument', 'output must be a WritableStream or a file handle');
}

/**
 * The page's end of an output stream. The stream stays in the page, since not every browser can
 * transfer one, and so that it can be aborted even after the worker has died.
 */
export class StreamOutput {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #failure = new AbortController();
  /**
   * Aborted when the stream stops accepting bytes, for instance because its reader cancelled it.
   */
  readonly failure = this.#failure.signal;
  #written = 0;
  /** The number of bytes that will come again after a restart, and are skipped. */
  #again = 0;

  constructor(stream: WritableStream<Uint8Array>) {
    if (stream.locked) throw new BitxError('invalid-argument', 'output is locked to another writer');
    this.#writer = stream.getWriter();
    this.#writer.closed.catch((cause: unknown) => this.#failure.abort(ioError(cause)));
  }

  /** Writes one part, and waits until the stream is ready for more. */
  async write(bytes: Uint8Array): Promise<void> {
    const more = bytes.subarray(this.#again);
    this.#again -= bytes.length - more.length;
    this.#written += more.length;
    if (more.length > 0) await this.#writer.write(more).catch(fail);
  }

  /** Prepares for another worker, which produces the same bytes from the beginning. */
  rewind(): void {
    this.#again = this.#written;
  }

  async close(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#writer.close().catch(fail);
  }

  /**
   * Aborts the stream, so that no incomplete output is kept. Nothing waits for that: the stream
   * finishes its current write first, which may take forever.
   */
  abort(reason: unknown): void {
    this.#writer.abort(reason).catch(() => {});
  }
}

/** Returns a stream for the caller to read. */
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
