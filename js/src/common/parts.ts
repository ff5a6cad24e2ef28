/** The number of bytes collected in memory before they move to the browser's blob store. */
const PART = 8 << 20;

/**
 * Builds a Blob piece by piece. The browser keeps a Blob's bytes outside the page's memory, and
 * large ones on disk, so that only the newest bytes are held here.
 */
export class Parts {
  #blobs: Blob[] = [];
  #pending: Uint8Array<ArrayBuffer>[] = [];
  #pendingBytes = 0;
  #size = 0;

  /** The number of bytes so far. */
  get size(): number {
    return this.#size;
  }

  add(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#size += bytes.length;
    if (this.#pendingBytes >= PART) this.#store();
  }

  /** Returns a Blob of all bytes so far. */
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
