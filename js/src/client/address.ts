/** A worker would resolve a relative URL against its own address. */
export function absolute(url: string | URL): string {
  return new URL(url, typeof document === 'undefined' ? location.href : document.baseURI).href;
}
