import { BitxError } from './errors.js';

/**
 * Returns a URL in its absolute form. The page resolves relative URLs before it sends them to a
 * worker, which would resolve them against the address of its own script.
 */
export function absolute(url: string | URL): string {
  try {
    return new URL(url, typeof document === 'undefined' ? location.href : document.baseURI).href;
  } catch {
    // A worker that was started from a Blob has an address, but not one to resolve others against.
    throw new BitxError('invalid-argument', `${url} is no address here`);
  }
}
