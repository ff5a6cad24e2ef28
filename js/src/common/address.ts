/** Returns the full address of a URL that may be relative to the page: a worker would resolve it against its own. */
export function absolute(url: string | URL): string {
  return new URL(url, typeof document === 'undefined' ? location.href : document.baseURI).href;
}
