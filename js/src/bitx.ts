import { Engine } from './engine.js';
import { abortError, BitxError } from './errors.js';
import { type Inputs, prepare } from './inputs.js';
import type { Link } from './link.js';
import { outputKind, StreamOutput } from './output.js';
import type { Outcome, Request } from './protocol.js';
import type {
  ArchiveInfo,
  CallOptions,
  CompressOptions,
  CreateOptions,
  Input,
  Mode,
  Output,
  ReadTensorOptions,
  RestoreOptions,
  WriteOptions,
} from './types.js';

/** What a call asks of the core, and where its output goes. */
type Task = Omit<Request, 'sources'>;

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
  readonly #restorer: Engine;
  /** Its wasm is downloaded once something is compressed. */
  readonly #compressor: Engine;
  readonly #disposal = new AbortController();
  #link: Link;

  /** Loads and tests the build that suits this browser and page. */
  static async create(options: CreateOptions = {}): Promise<Bitx> {
    const restorer = new Engine('restore', options);
    const link = await restorer.alive('threads', options.signal);
    return new Bitx(restorer, new Engine('compress', options), link);
  }

  private constructor(restorer: Engine, compressor: Engine, link: Link) {
    this.#restorer = restorer;
    this.#compressor = compressor;
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
    const task: Task = { operation: 'inspect', options: {}, output: 'bytes' };
    const { archive } = await this.#call(task, { delta }, options);
    return archive;
  }

  /** Restores a fine-tuned model, bit for bit, from its base and a delta. */
  restore(options: RestoreOptions & { output: Output }): Promise<undefined>;
  restore(options: RestoreOptions & { output?: undefined }): Promise<Blob>;
  restore(options: RestoreOptions): Promise<Blob | undefined>;
  async restore({ base, delta, ...options }: RestoreOptions): Promise<Blob | undefined> {
    return this.#write('restore', { base, delta }, options);
  }

  /** Restores the bytes of one tensor, and reads no more of the inputs than that takes; URLs are downloaded whole. */
  async readTensor({ base, delta, name, ...options }: ReadTensorOptions): Promise<Uint8Array<ArrayBuffer>> {
    const task: Task = { operation: 'tensor', options: { name }, output: 'bytes' };
    const { bytes } = await this.#call(task, { base, delta }, options);
    return bytes as Uint8Array<ArrayBuffer>;
  }

  /** Makes the archive that restores `target` from `base`. */
  compress(options: CompressOptions & { output: Output }): Promise<undefined>;
  compress(options: CompressOptions & { output?: undefined }): Promise<Blob>;
  compress(options: CompressOptions): Promise<Blob | undefined>;
  async compress({
    base,
    target,
    format,
    effort,
    level,
    ...options
  }: CompressOptions): Promise<Blob | undefined> {
    return this.#write('compress', { base, target }, options, { format, effort, level });
  }

  /** Ends the workers and their threads and frees their memory. Calls that are pending reject with `disposed`. */
  dispose(): void {
    const error = new BitxError('disposed', 'This Bitx was disposed of');
    this.#disposal.abort(error);
    for (const engine of [this.#restorer, this.#compressor]) engine.link?.end(error);
  }

  async #write(
    operation: 'restore' | 'compress',
    inputs: Inputs,
    { output, onStats, ...options }: WriteOptions,
    codec: Task['options'] = {},
  ): Promise<Blob | undefined> {
    const task: Task = { operation, options: codec, output: outputKind(output) };
    const stream = output instanceof WritableStream ? new StreamOutput(output) : undefined;
    const { blob, stats } = await this.#call(task, inputs, options, stream);
    if (stats) onStats?.(stats);
    return blob;
  }

  async #call(
    task: Task,
    inputs: Inputs,
    { signal, onProgress }: CallOptions,
    stream?: StreamOutput,
  ): Promise<Outcome> {
    const disposal = this.#disposal.signal;
    try {
      const stop = AbortSignal.any(signal ? [signal, disposal] : [disposal]);
      const sources = await prepare(inputs, stop, onProgress);
      const link = await this.#alive(task.operation);
      const outcome = await link.call({ ...task, sources }, { stream, signal, onProgress });
      await stream?.close(signal);
      return outcome;
    } catch (thrown) {
      const error = disposal.aborted ? disposal.reason : signal?.aborted ? abortError(signal) : thrown;
      stream?.abort(error);
      throw error;
    }
  }

  /** The worker for an operation. Only where threads have restored may they compress. */
  async #alive(operation: Task['operation']): Promise<Link> {
    const disposal = this.#disposal.signal;
    disposal.throwIfAborted();
    if (operation === 'compress') return this.#compressor.alive(this.mode, disposal);
    this.#link = await this.#restorer.alive('threads', disposal);
    return this.#link;
  }
}
