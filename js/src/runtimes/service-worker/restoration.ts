import { Job } from '../../../generated/compress-threads/bitx_wasm.js';
import { type Inputs, prepare } from '../../codec/inputs.js';
import { open, type Plan, supply, turn } from '../../codec/worker/drive.js';
import { copyOf } from '../../codec/worker/instance.js';
import { io } from '../../codec/worker/io.js';
import { Files, type Read } from '../../codec/worker/reader.js';
import { requestOf } from '../../codec/worker/request.js';
import { BitxError, type Bytes, fromWire, toWire } from '../../common/index.js';

/** A running restore, which computes a window at each request for the next part. */
export class Restoration {
  readonly length: number;
  readonly #job: Job;
  readonly #files: Files;
  readonly #stop: AbortController;
  readonly #windows: number;
  #window = 0;
  #reading: Promise<Uint8Array[]>;

  /** Opens the inputs and checks that they match. The wasm must be loaded. */
  static async open(inputs: Inputs): Promise<Restoration> {
    const stop = new AbortController();
    const files = new Files(io);
    let job: Job | undefined;
    try {
      const { sources } = await prepare(inputs, stop.signal, undefined);
      await files.open(sources);
      const [length = 0] = files.sizes('delta');
      // The windows of a shared restore are short, so that other requests do not wait for long.
      job = Job.open(requestOf({ operation: 'share', base: files.sizes('base'), length }));
      const read = async (range: Read) => {
        const bytes = await files.read(range);
        await turn();
        return bytes;
      };
      await open(job, read, stop.signal);
      await turn();
      return new Restoration(job, files, stop);
    } catch (error) {
      end(job, files, stop, error);
      throw typed(error);
    }
  }

  private constructor(job: Job, files: Files, stop: AbortController) {
    this.#job = job;
    this.#files = files;
    this.#stop = stop;
    const { windows, outputLength } = job.plan() as Plan;
    this.length = outputLength as number;
    this.#windows = windows;
    this.#reading = this.#read(0);
  }

  /**
   * Returns the next part; undefined at the end. While it is computed, the inputs of the part after
   * it are read.
   */
  async next(): Promise<Bytes | undefined> {
    if (this.#window === this.#windows) return undefined;
    try {
      const inputs = await this.#reading;
      // The inputs are mostly there already, and other requests must not wait for all windows.
      await turn();
      this.#stop.signal.throwIfAborted();
      this.#reading = this.#read(this.#window + 1);
      this.#job.begin(this.#window++);
      for (const [index, bytes] of inputs.entries()) supply(this.#job, index, bytes);
      this.#job.run();
      this.#job.check();
      const output = copyOf(this.#job);
      if (this.#window === this.#windows) this.end();
      return output;
    } catch (error) {
      this.end(error);
      throw typed(error);
    }
  }

  /** Frees everything; `error` is the failure that ended the restore, if there was one. */
  end(error?: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.#window = this.#windows;
    end(this.#job, this.#files, this.#stop, error);
  }

  #read(window: number): Promise<Uint8Array[]> {
    const reads = window < this.#windows ? (this.#job.reads(window) as Read[]) : [];
    const all = Promise.all(reads.map((read) => this.#files.read(read)));
    // The inputs may never be used, for example after an abort.
    all.catch(() => {});
    return all;
  }
}

/**
 * Frees the inputs and the job, except for a job with an internal fault, which is not touched
 * again.
 */
function end(job: Job | undefined, files: Files, stop: AbortController, error: unknown): void {
  void files.close();
  stop.abort(new BitxError('aborted', 'The response has ended'));
  if (error === undefined || toWire(error).code !== 'internal') job?.free();
}

function typed(error: unknown): BitxError {
  return error instanceof BitxError ? error : fromWire(toWire(error));
}
