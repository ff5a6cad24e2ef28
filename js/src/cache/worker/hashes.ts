import { createBLAKE3, createSHA256, type IHasher } from 'hash-wasm';
import { type Digests, toHex } from '../integrity.js';

/** Hashes a file from front to back. WebCrypto cannot do that, since it needs all bytes at once. */
export class FileHash {
  readonly #sha256: IHasher;
  readonly #blake3: IHasher;

  static async create(): Promise<FileHash> {
    return new FileHash(await createSHA256(), await createBLAKE3());
  }

  private constructor(sha256: IHasher, blake3: IHasher) {
    this.#sha256 = sha256;
    this.#blake3 = blake3;
  }

  update(bytes: Uint8Array): void {
    this.#sha256.update(bytes);
    this.#blake3.update(bytes);
  }

  digests(): Digests {
    return { sha256: this.#sha256.digest(), blake3: this.#blake3.digest() };
  }
}

/**
 * Returns the SHA-256 of bytes in hex. WebCrypto computes it outside this thread, where the page
 * may use it.
 */
export async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (crypto.subtle) return toHex(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)));
  return (await createSHA256()).update(bytes).digest();
}
