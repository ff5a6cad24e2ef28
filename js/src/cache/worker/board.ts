/**
 * The shared state of a download. Transfers wait for chunks to fetch, and the hash waits for the
 * next chunk of the file.
 */
export class Board {
  /** The number of chunks; infinite while it is unknown. */
  #count: number;
  readonly #wanted: number[];
  readonly #there: Set<number>;
  /** The chunks that were stored since the board was created. */
  readonly #fresh = new Set<number>();
  #closed = false;
  #change = Promise.withResolvers<void>();

  constructor(count: number, there: Iterable<number> = []) {
    this.#count = count;
    this.#there = new Set(there);
    const all = Number.isFinite(count) ? Array.from({ length: count }, (_, index) => index) : [];
    this.#wanted = all.filter((index) => !this.#there.has(index));
  }

  /** Waits for a chunk to fetch, and returns its index; undefined if there will be none. */
  async next(): Promise<number | undefined> {
    while (!this.#closed) {
      const index = this.#wanted.shift();
      if (index !== undefined) return index;
      await this.#change.promise;
    }
    return undefined;
  }

  /** Waits until a chunk is stored; resolves to false if the file ends before it. */
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

  /** Requests a chunk again that turned out to be wrong. */
  redo(index: number): void {
    this.#there.delete(index);
    this.#wanted.unshift(index);
    this.#changed();
  }

  /** Sets the number of chunks, once the end of the file is known. */
  end(count: number): void {
    this.#count = count;
    this.#changed();
  }

  /** Ends all waits. */
  close(): void {
    this.#closed = true;
    this.#changed();
  }

  #changed(): void {
    this.#change.resolve();
    this.#change = Promise.withResolvers();
  }
}
