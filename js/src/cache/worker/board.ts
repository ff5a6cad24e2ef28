/** The waiting list of a download: transfers wait for chunks to fetch, the hash for the file's next chunk. */
export class Board {
  /** The number of chunks; infinite while it is unknown. */
  #count: number;
  readonly #wanted: number[];
  readonly #there: Set<number>;
  /** Those that have come since the board was set up. */
  readonly #fresh = new Set<number>();
  #closed = false;
  #change = Promise.withResolvers<void>();

  constructor(count: number, there: Iterable<number> = []) {
    this.#count = count;
    this.#there = new Set(there);
    const all = Number.isFinite(count) ? Array.from({ length: count }, (_, index) => index) : [];
    this.#wanted = all.filter((index) => !this.#there.has(index));
  }

  /** The next chunk to fetch, once there is one; undefined when there will be none. */
  async next(): Promise<number | undefined> {
    while (!this.#closed) {
      const index = this.#wanted.shift();
      if (index !== undefined) return index;
      await this.#change.promise;
    }
    return undefined;
  }

  /** Waits until a chunk is there; resolves to false if the file ends before. */
  async arrival(index: number): Promise<boolean> {
    while (!this.#closed && index < this.#count) {
      if (this.#there.has(index)) return true;
      await this.#change.promise;
    }
    return false;
  }

  arrived(index: number): void {
    this.#there.add(index);
    this.#fresh.add(index);
    this.#changed();
  }

  /** Returns `true` if this download, and not an earlier visit, fetched the chunk. */
  isFresh(index: number): boolean {
    return this.#fresh.has(index);
  }

  /** A chunk turned out to be wrong. */
  redo(index: number): void {
    this.#there.delete(index);
    this.#wanted.unshift(index);
    this.#changed();
  }

  /** The file has ended. */
  end(count: number): void {
    this.#count = count;
    this.#changed();
  }

  /** Nobody has to wait any longer. */
  close(): void {
    this.#closed = true;
    this.#changed();
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}
