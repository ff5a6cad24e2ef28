import { Parts } from '../../common/index.js';
import type { Restoration } from './restoration.js';

/**
 * A restored file that is read by ranges. The bytes before a range must be restored first. They are
 * kept in the browser's blob store while the service worker lives, since ranges are mostly
 * requested in order.
 */
export class Spooled {
  readonly #parts = new Parts();
  readonly #restoration: Restoration;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(restoration: Restoration) {
    this.#restoration = restoration;
  }

  /** Returns the bytes from `start` on that are available, at least one, and none from `end` on. */
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
