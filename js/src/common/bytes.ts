/** Bytes whose buffer no other thread shares, so that it can be transferred. */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Frees a buffer's memory immediately, in browsers that can. Garbage collectors wait until tens of
 * megabytes have accumulated, in each worker separately.
 */
export function free({ buffer }: Uint8Array): void {
  (buffer as ArrayBuffer & { transfer?(length: number): void }).transfer?.(0);
}
