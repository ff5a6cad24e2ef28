/** The browser's digest takes the whole file at once, so very large ones are not worth their memory. */
const LARGEST = 512e6;

/** The SHA-256 of a file in hexadecimal; undefined if it is too large, or the page has no secure context. */
export async function sha256(blob: Blob): Promise<string | undefined> {
  if (blob.size > LARGEST || !globalThis.crypto?.subtle) return undefined;
  const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
