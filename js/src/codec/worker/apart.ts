import type { Bytes } from '../../common/index.js';
import type { Job } from './core.js';
import { placed, quietly } from './drive.js';
import { copyOf } from './instance.js';
import type { Pool } from './pool.js';
import { Pooled } from './pooled.js';
import type { Opening } from './request.js';

/** The number of bytes of ranges that are sent to the workers together. */
const TOGETHER = 256 << 10;

/**
 * A compression whose windows are coded by a pool, each in one worker. The host joins what they
 * return, and takes the digests of all files.
 */
export class Apart extends Pooled {
  /** Settles when the workers have taken the ranges that were sent to them. */
  #taken: Promise<unknown>;
  /** The ranges that they have not been sent, and the bytes of these. */
  #ranges: Uint8Array[] = [];
  #bytes = 0;
  /** The prediction of the region in which the next window begins. */
  #carried: Promise<Uint8Array> = Promise.resolve(new Uint8Array());
  /** The output of the window before the next one. */
  #joined: Promise<unknown> = Promise.resolve();

  /** Opens the job in every worker. It is then given the ranges that the host's job is given. */
  constructor(job: Job, pool: Pool, opening: Opening) {
    super(job, pool, pool.size + 1);
    this.#taken = quietly(pool.all('begin', [this.key, opening]));
  }

  /** Gives the jobs a range. Most ranges are short, so that several of them are sent together. */
  async take(bytes: Uint8Array): Promise<void> {
    this.#ranges.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes < TOGETHER) return;
    await this.#taken;
    this.#send();
  }

  #send(): void {
    const ranges = this.#ranges;
    this.#taken = quietly(this.#taken.then(() => this.pool.all('take', [this.key, ranges])));
    this.#ranges = [];
    this.#bytes = 0;
  }

  async compute(window: number, inputs: (Uint8Array | undefined)[]): Promise<Bytes> {
    if (this.#ranges.length > 0) this.#send();
    const given = inputs as Uint8Array[];
    this.job.begin(window);
    for (const [index, bytes] of given.entries()) placed(this.job, index, bytes);
    this.job.digest();
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    const before = this.#carried;
    this.#carried = quietly(promise);
    const coded = quietly(
      this.pool.alone(async (call) => {
        await this.#taken;
        resolve((await call<Uint8Array | undefined>('search', [this.key, window, given])) ?? before);
        return call<[Bytes, number]>('code', [this.key, await before], true);
      }),
    );
    coded.catch(reject);
    const joined = this.#joined.then(async () => {
      this.job.join(window, await coded);
      return copyOf(this.job);
    });
    this.#joined = quietly(joined);
    return this.timed(joined);
  }
}
