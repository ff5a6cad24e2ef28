import { abortError, BitxError } from './errors.js';
import { prepare } from './inputs.js';
import type { Link } from './link.js';
import { outputKind, StreamOutput } from './output.js';
import type { Outcome, Request, Source } from './protocol.js';
import { startBest, startSingle } from './start.js';
import type {
  ArchiveInfo,
  CallOptions,
  CompressOptions,
  CreateOptions,
  Input,
  Mode,
  Output,
  RestoreOptions,
  WriteOptions,
} from './types.js';

type Inputs = Partial<Record<Source, Input>>;

/**
 * Restores, makes and inspects `.bitx` archives in a worker of its own, so that the page never blocks.
 *
 * ```ts
 * const bitx = await Bitx.create();
 * const model = await bitx.restore({ base: '/base.safetensors', delta: '/fine-tune.bitx' });
 * bitx.dispose();
 * ```
 */
export class Bitx {
  readonly #options: CreateOptions;
  #link: Link;
  #restart: Promise<Link> | undefined;
  readonly #disposal = new AbortController();

  /** Loads and tests the build that suits this browser and page. */
  static async create(options: CreateOptions = {}): Promise<Bitx> {
    return new Bitx(options, await startBest(options));
  }

  private constructor({ signal: _, ...options }: CreateOptions, link: Link) {
    this.#options = options;
    this.#link = link;
  }

  /** The build at work: `threads` where the page is cross-origin isolated and threads start, else `single`. */
  get mode(): Mode {
    return this.#link.mode;
  }

  /** How many threads compute. */
  get threads(): number {
    return this.#link.threads;
  }

  /** Reads what is inside an archive. */
  async inspect(delta: Input, options: CallOptions = {}): Promise<ArchiveInfo> {
    const { archive } = await this.#call('inspect', { delta }, options);
    return archive;
  }

  /** Restores a fine-tuned model, bit for bit, from its base and a delta. */
  restore(options: RestoreOptions & { output: Output }): Promise<undefined>;
  restore(options: RestoreOptions & { output?: undefined }): Promise<Blob>;
  restore(options: RestoreOptions): Promise<Blob | undefined>;
  async restore({ base, delta, ...options }: RestoreOptions): Promise<Blob | undefined> {
    return this.#write('restore', { base, delta }, options);
  }

  /** Makes the archive that restores `target` from `base`. */
  compress(options: CompressOptions & { output: Output }): Promise<undefined>;
  compress(options: CompressOptions & { output?: undefined }): Promise<Blob>;
  compress(options: CompressOptions): Promise<Blob | undefined>;
  async compress({ base, target, format, level, ...options }: CompressOptions): Promise<Blob | undefined> {
    const codec = { ...(format && { format }), ...(level !== undefined && { level }) };
    return this.#write('compress', { base, target }, options, codec);
  }

  /** Ends the worker and its threads and frees their memory. Calls that are pending reject with `disposed`. */
  dispose(): void {
    const error = new BitxError('disposed', 'This Bitx was disposed of');
    this.#disposal.abort(error);
    this.#link.end(error);
  }

  async #write(
    operation: 'restore' | 'compress',
    inputs: Inputs,
    options: WriteOptions,
    codec: Request['options'] = {},
  ): Promise<Blob | undefined> {
    const { blob, stats } = await this.#call(operation, inputs, options, codec);
    if (stats) options.onStats?.(stats);
    return blob;
  }

  async #call(
    operation: Request['operation'],
    inputs: Inputs,
    options: WriteOptions,
    codec: Request['options'] = {},
  ): Promise<Outcome> {
    const { output, signal, onProgress } = options;
    const disposal = this.#disposal.signal;
    const request = { operation, options: codec, output: outputKind(output) };
    const stream = output instanceof WritableStream ? new StreamOutput(output) : undefined;
    try {
      const stop = AbortSignal.any(signal ? [signal, disposal] : [disposal]);
      const sources = await prepare(inputs, stop, onProgress);
      const link = await this.#alive();
      const outcome = await link.call({ ...request, sources }, { stream, signal, onProgress });
      await stream?.close(signal);
      return outcome;
    } catch (thrown) {
      const error = disposal.aborted ? disposal.reason : signal?.aborted ? abortError(signal) : thrown;
      stream?.abort(error);
      throw error;
    }
  }

  /** The worker, or after a fault a new one: without threads, since those may have been the fault. */
  async #alive(): Promise<Link> {
    const { signal } = this.#disposal;
    signal.throwIfAborted();
    if (this.#link.alive) return this.#link;
    this.#restart ??= startSingle(this.#options).finally(() => {
      this.#restart = undefined;
    });
    this.#link = await this.#restart;
    if (signal.aborted) this.#link.end(signal.reason);
    return this.#link;
  }
}
