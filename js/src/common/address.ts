/**
 * Returns a URL in its absolute form. The page resolves relative URLs before it sends them to a
 * worker, which would resolve them against the address of its own script.
 */
export function absolute(url: string | URL): string {
  return new URL(url, typeof document === 'undefined' ? location.href : document.baseURI).href;
}
