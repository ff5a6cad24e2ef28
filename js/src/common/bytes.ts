/** Bytes whose buffer no other thread shares, so that it can be transferred. */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Gives a buffer's memory back at once, where the browser can. Garbage collectors wait until tens of megabytes have come
 * together, in each worker anew.
 */
export function free({ buffer }: Uint8Array): void {
  (buffer as ArrayBuffer & { transfer?(length: number): void }).transfer?.(0);
}
