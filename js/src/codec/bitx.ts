import { abortError, BitxError, type Bytes, checkOptions, checkWhole, DISPOSE } from '../common/index.js';
import { Engine } from './engine.js';
import { type Inputs, located, nameOf, prepare } from './inputs.js';
import type { CallContext, Link } from './link.js';
import { outputKind, StreamOutput, streamOf } from './output.js';
import type { Outcome, Task } from './protocol.js';
import type {
  ArchiveInfo,
  BitxStream,
  CallOptions,
  CompressOptions,
  CreateOptions,
  Input,
  MergeOptions,
  MergeStats,
  Mode,
  Output,
  ReadTensorOptions,
  RestoreOptions,
  Stats,
  TensorPlace,
  WriteOptions,
} from './types.js';

/** The operations that write a file. */
type Writer = Task['operation'] & ('restore' | 'compress' | 'merge');
type CodecOptions = Omit<WriteOptions, 'onStats'> &
  Inputs &
  Task['options'] & { onStats?: (stats: never) => void };

/** The names of the options that all calls have. */
const CALL = ' signal onProgress';
/** The names of the further options of each operation that writes a file. */
const NAMES: Record<Writer, string> = {
  restore: `base delta maxOutput onStats${CALL}`,
  compress: `base target graph adapter config format effort level onlyUsed onStats${CALL}`,
  merge: `base adapter config file onStats${CALL}`,
};

/**
 * Restores, makes and inspects `.bitx` archives in a worker of its own, so that the page never
 * blocks.
 *
 * ```ts
 * const bitx = await Bitx.create();
 * const model = await bitx.restore({ base: '/base.safetensors', delta: '/fine-tune.bitx' });
 * bitx.dispose();
 * ```
 */
export class Bitx {
  readonly #restorer: Engine;
  /** Its wasm is downloaded once something is compressed, or the tensors of a model are listed. */
  readonly #compressor: Engine;
  readonly #disposal = new AbortController();
  #link: Link;

  /**
   * Loads and tests the build that suits this browser and page.
   *
   * Fails with `start-failed`, `unsupported`, `invalid-argument` or `aborted`.
   *
   * @example
   * ```ts
   * const bitx = await Bitx.create({ threads: 4 });
   * ```
   */
  static async create(options: CreateOptions = {}): Promise<Bitx> {
    checkOptions('create', options, 'threads mode wasmUrl workerUrl signal');
    const restorer = new Engine('restore', options);
    const best = options.mode ?? 'threads';
    const link = await restorer.alive(best, options.signal);
    return new this(restorer, new Engine('compress', options), link);
  }

  /** @hidden */
  protected constructor(restorer: Engine, compressor: Engine, link: Link) {
    this.#restorer = restorer;
    this.#compressor = compressor;
    this.#link = link;
  }

  /**
   * The mode in which restores are computed: `threads` if the page is cross-origin isolated and
   * threads start, else a `pool` of workers, or a `single` one if a pool fails. Compressing uses
   * the same, but a pool of at most four workers.
   */
  get mode(): Mode {
    return this.#link.mode;
  }

  /** The number of threads that compute. */
  get threads(): number {
    return this.#link.threads;
  }

  /**
   * Returns the content of an archive.
   *
   * Fails with `format`, `corrupt`, `truncated`, `unsupported`, `network`, `changed`, `io`,
   * `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const { tensors, bases } = await bitx.inspect('/models/fine-tune.bitx');
   * ```
   */
  async inspect(delta: Input, options: CallOptions = {}): Promise<ArchiveInfo> {
    checkOptions('inspect', options, CALL);
    const task: Task = { operation: 'inspect', options: {}, output: 'blob' };
    const { archive } = await this.call(task, { delta }, options);
    return archive as ArchiveInfo;
  }

  /**
   * Lists the tensors of a model (safetensors, GGUF, ONNX or a zip archive) in the order of their
   * places. Only the model's header is read. A file of any other kind has no tensors.
   *
   * Fails with `format`, `corrupt`, `truncated`, `unsupported`, `network`, `changed`, `io`,
   * `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * for (const { name, dtype, shape } of await bitx.tensors(file)) console.log(name, dtype, shape);
   * ```
   */
  async tensors(model: Input, options: CallOptions = {}): Promise<TensorPlace[]> {
    checkOptions('tensors', options, CALL);
    const task: Task = { operation: 'layout', options: {}, output: 'blob' };
    const { tensors = [] } = await this.call(task, { target: model }, options);
    // The core takes a file of no known kind for one tensor without a name.
    return tensors.filter(({ name }) => name !== '');
  }

  /**
   * Restores a fine-tuned model, bit for bit, from its base and a delta.
   *
   * Fails with `base-mismatch`, `limit`, `format`, `corrupt`, `truncated`, `unsupported`,
   * `network`, `changed`, `io`, `invalid-argument`, `aborted` or `disposed`, and with `internal`
   * for a fault of this library.
   *
   * @example
   * ```ts
   * const model = await bitx.restore({ base: '/base.safetensors', delta: '/fine-tune.bitx' });
   * await bitx.restore({ base, delta, output: handle });
   * ```
   */
  restore(options: RestoreOptions & { output: Output }): Promise<undefined>;
  restore(options: RestoreOptions & { output?: undefined }): Promise<Blob>;
  restore(options: RestoreOptions): Promise<Blob | undefined>;
  async restore(options: RestoreOptions): Promise<Blob | undefined> {
    return this.#write('restore', options);
  }

  /**
   * Restores a fine-tuned model as fast as the stream is read. Resolves once the inputs have proved
   * to fit.
   *
   * Fails with the codes of {@link Bitx.restore}; a later failure ends the stream.
   *
   * @example
   * ```ts
   * const { response } = await bitx.restoreStream({ base, delta });
   * await cache.put('/fine-tune.safetensors', response());
   * ```
   */
  async restoreStream(options: Omit<RestoreOptions, 'output'>): Promise<BitxStream> {
    return this.#stream('restore', options);
  }

  /**
   * Restores the bytes of one tensor, and reads only the ranges of the inputs that it needs.
   *
   * Fails with the codes of {@link Bitx.restore}; an unknown name is `invalid-argument`.
   *
   * @example
   * ```ts
   * const bytes = await bitx.readTensor({ base, delta, name: 'lm_head.weight' });
   * ```
   */
  async readTensor(options: ReadTensorOptions): Promise<Uint8Array<ArrayBuffer>> {
    checkOptions('readTensor', options, `base delta name maxOutput${CALL}`);
    checkWhole(options, 'maxOutput');
    const { base, delta, name, maxOutput } = options;
    const task: Task = { operation: 'tensor', options: { name, maxOutput }, output: 'blob' };
    const { blob } = await this.call(task, { base, delta }, options);
    return new Uint8Array(await (blob as Blob).arrayBuffer());
  }

  /**
   * Makes the archive that restores `target` from `base`.
   *
   * Fails with `corrupt` (also for a graph that does not fit), `format`, `truncated`,
   * `unsupported`, `network`, `changed`, `io`, `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const delta = await bitx.compress({ base, target: file, effort: 'max' });
   * ```
   */
  compress(options: CompressOptions & { output: Output }): Promise<undefined>;
  compress(options: CompressOptions & { output?: undefined }): Promise<Blob>;
  compress(options: CompressOptions): Promise<Blob | undefined>;
  async compress(options: CompressOptions): Promise<Blob | undefined> {
    return this.#write('compress', options);
  }

  /**
   * Makes the archive that restores `target` from `base` as fast as the stream is read.
   *
   * Fails with the codes of {@link Bitx.compress}; a later failure ends the stream.
   *
   * @example
   * ```ts
   * const { stream } = await bitx.compressStream({ base, target: file });
   * ```
   */
  async compressStream(options: Omit<CompressOptions, 'output'>): Promise<BitxStream> {
    return this.#stream('compress', options);
  }

  /**
   * Computes the model of a base and a LoRA adapter of PEFT, in the layout of the base. This is a
   * computation and not a restore: no archive tells which bytes the model must have. Compare it
   * with a published digest if it must be a certain file.
   *
   * Fails with `base-mismatch` if the adapter does not fit the base, `corrupt` (also for products
   * that are not finite), `format`, `limit`, `truncated`, `unsupported` (also for adapters that are
   * more than LoRA), `network`, `changed`, `io`, `invalid-argument`, `aborted` or `disposed`.
   *
   * @example
   * ```ts
   * const model = await bitx.merge({
   *   base: '/base.safetensors',
   *   adapter: '/lora/adapter_model.safetensors',
   *   config: '/lora/adapter_config.json',
   * });
   * ```
   */
  merge(options: MergeOptions & { output: Output }): Promise<undefined>;
  merge(options: MergeOptions & { output?: undefined }): Promise<Blob>;
  merge(options: MergeOptions): Promise<Blob | undefined>;
  async merge(options: MergeOptions): Promise<Blob | undefined> {
    return this.#write('merge', options);
  }

  /**
   * Computes the model of a base and a LoRA adapter of PEFT as fast as the stream is read.
   *
   * Fails with the codes of {@link Bitx.merge}; a later failure ends the stream.
   *
   * @example
   * ```ts
   * const { response } = await bitx.mergeStream({ base, adapter, config });
   * ```
   */
  async mergeStream(options: Omit<MergeOptions, 'output'>): Promise<BitxStream> {
    return this.#stream('merge', options);
  }

  /**
   * Ends the workers and their threads, and frees their memory. Pending calls reject with
   * `disposed`. `using bitx = await Bitx.create()` does so at the end of the block.
   *
   * @example
   * ```ts
   * bitx.dispose();
   * ```
   */
  dispose(): void {
    const error = new BitxError('disposed', 'This Bitx was disposed of');
    this.#disposal.abort(error);
    for (const engine of [this.#restorer, this.#compressor]) engine.link?.end(error);
  }

  /** @hidden */
  [DISPOSE](): void {
    this.dispose();
  }

  async #stream(operation: Writer, options: CodecOptions): Promise<BitxStream> {
    checkOptions(`${operation}Stream`, options, NAMES[operation]);
    // The stream keeps nothing: each part is written when the reader requests it.
    const { readable, writable } = new TransformStream<Bytes, Bytes>({}, {}, { highWaterMark: 0 });
    const opened = Promise.withResolvers<number | undefined>();
    this.#write(operation, { ...options, output: writable }, opened.resolve).catch(opened.reject);
    return streamOf(readable, await opened.promise);
  }

  async #write(
    operation: Writer,
    options: CodecOptions,
    onOpened?: CallContext['onOpened'],
  ): Promise<Blob | undefined> {
    checkOptions(operation, options, `output ${NAMES[operation]}`);
    checkWhole(options, 'maxOutput level file');
    const { base, delta, target, graph = [], adapter, config, output, onStats, ...others } = options;
    const { signal: _, onProgress: __, ...codec } = others;
    if (codec.effort && (codec.format === 'v1' || codec.level !== undefined)) {
      throw new BitxError('invalid-argument', 'effort applies to format v2 only; use level with format v1');
    }
    if (adapter && config && [adapter].flat().length !== [config].flat().length) {
      throw new BitxError('invalid-argument', 'each adapter needs a config of its own');
    }
    const lora = operation === 'merge' || adapter || config ? { adapter, config } : {};
    const own = operation === 'restore' ? { delta } : operation === 'compress' ? { target, graph } : {};
    const inputs = { base, ...own, ...lora } as Inputs;
    // A graph knows the files that it describes by their names.
    const files = () => [base as Input, adapter ?? [], target as Input].flat().map(nameOf);
    const names = [graph].flat().length > 0 ? { names: files() } : {};
    const task: Task = { operation, options: { ...codec, ...names }, output: outputKind(output) };
    const stream = output instanceof WritableStream ? new StreamOutput(output) : undefined;
    const { blob, stats } = await this.call(task, inputs, options, stream, onOpened);
    if (stats) onStats?.((operation === 'merge' ? computed(stats) : stats) as never);
    return blob;
  }

  /**
   * Runs an operation, again in the next mode after a fault of the mode.
   *
   * @hidden
   */
  async call(
    task: Task,
    inputs: Inputs,
    options: CallOptions,
    stream?: StreamOutput,
    onOpened?: CallContext['onOpened'],
  ): Promise<Outcome> {
    const { signal, onProgress } = options;
    const over = new AbortController();
    const signals = [over.signal, this.#disposal.signal, signal, stream?.failure];
    const stop = AbortSignal.any(signals.filter((one) => !!one));
    const context = { stream, signal: stop, onProgress, onOpened };
    try {
      for (;;) {
        const { sources, ports } = await prepare(inputs, stop, onProgress);
        const link = await this.#alive(task.operation);
        try {
          const outcome = await link.call(task.operation, { ...task, sources }, context, ports);
          await stream?.close(stop);
          return outcome;
        } catch (error) {
          // After a fault of the mode, the next mode begins anew.
          if (!link.ended || (link.mode === 'single' && !link.abandoned)) throw error;
          stream?.rewind();
        }
      }
    } catch (thrown) {
      const error = signal?.aborted
        ? abortError(signal)
        : stop.aborted
          ? stop.reason
          : located(thrown, inputs);
      stream?.abort(error);
      throw error;
    } finally {
      over.abort();
    }
  }

  /** Returns the worker for an operation. Threads compress only if they have restored. */
  async #alive(operation: Task['operation']): Promise<Link> {
    const disposal = this.#disposal.signal;
    disposal.throwIfAborted();
    if (!['restore', 'tensor', 'inspect'].includes(operation))
      return this.#compressor.alive(this.mode, disposal);
    this.#link = await this.#restorer.alive(this.mode, disposal);
    return this.#link;
  }
}

/** The measurements of a merge, whose report names the tensors that the adapter changed. */
function computed({ archive, ...stats }: Stats): MergeStats {
  return { ...stats, computed: true, tensors: archive.tensors.map(({ name }) => name) };
}
