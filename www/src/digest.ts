/** Files larger than this are not digested: WebCrypto takes the whole file at once, in memory. */
const LARGEST = 512e6;

/** Returns the SHA-256 of a file in hex; undefined if it is too large or the page not secure. */
export async function sha256(blob: Blob): Promise<string | undefined> {
  if (blob.size > LARGEST || !globalThis.crypto?.subtle) return undefined;
  const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
