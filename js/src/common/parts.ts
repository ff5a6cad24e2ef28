/** Bytes gathered in memory before they move to the browser's blob store. */
const PART = 8 << 20;

/**
 * Grows a Blob piece by piece. The browser keeps a Blob's bytes outside of the page's memory, on disk where they
 * are many; so only the newest part is ever held here.
 */
export class Parts {
  #blobs: Blob[] = [];
  #pending: Uint8Array<ArrayBuffer>[] = [];
  #pendingBytes = 0;
  #size = 0;

  /** Bytes so far. */
  get size(): number {
    return this.#size;
  }

  add(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#size += bytes.length;
    if (this.#pendingBytes >= PART) this.#store();
  }

  /** All bytes so far. */
  blob(): Blob {
    this.#store();
    return new Blob(this.#blobs, { type: 'application/octet-stream' });
  }

  #store(): void {
    this.#blobs.push(new Blob(this.#pending));
    this.#pending = [];
    this.#pendingBytes = 0;
  }
}
