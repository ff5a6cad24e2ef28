import { Parts } from '../../common/index.js';
import type { Restoration } from './restoration.js';

/**
 * A restored file to read ranges of. What comes before a range has to be restored first, and is kept in the browser's
 * blob store for as long as the service worker lives: ranges are mostly asked for one after the other.
 */
export class Spooled {
  readonly #parts = new Parts();
  readonly #restoration: Restoration;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(restoration: Restoration) {
    this.#restoration = restoration;
  }

  /** The bytes from `start` on that are there once at least one is; never any from `end` on. */
  async read(start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
    const turn = this.#turn.then(() => this.#grow(start));
    this.#turn = turn.catch(() => {});
    await turn;
    const slice = this.#parts.blob().slice(start, Math.min(end, this.#parts.size));
    return new Uint8Array(await slice.arrayBuffer());
  }

  async #grow(start: number): Promise<void> {
    while (this.#parts.size <= start) {
      const bytes = await this.#restoration.next();
      if (!bytes) throw new Error(`the restored file ends before byte ${start}`);
      this.#parts.add(bytes);
    }
  }
}
