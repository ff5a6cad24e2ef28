/** The begin of the name of a page's lock. While a page holds it, its Blobs may be in use. */
export const LOCK = 'bitx-wasm:';

let known: Promise<string> | undefined;

/**
 * Returns the name of this page, which holds a lock of that name until it ends. Its files are then
 * leftovers. Returns undefined outside of a window at the top: a worker or a frame may hand a Blob
 * to a page that outlives it.
 */
export async function pageName(): Promise<string | undefined> {
  if (!globalThis.document || parent !== self) return undefined;
  known ??= new Promise((resolve, reject) => {
    const name = crypto.randomUUID();
    const hold = () => {
      resolve(name);
      return new Promise(() => {});
    };
    navigator.locks.request(LOCK + name, hold).catch(reject);
  });
  return known;
}
