/** The hub that model ids belong to, unless the reader names another one. */
export const DEFAULT_HUB = 'https://huggingface.co/';

/** A line of the reader's addresses: an address, or the id of a model at a hub. */
export type Address = { kind: 'url'; url: URL } | { kind: 'id'; id: string; revision: string };

/**
 * Reads an address or a model id: `https://…`, `org/model` or `org/model@revision`. Returns
 * undefined for anything else.
 */
export function readAddress(text: string): Address | undefined {
  const line = text.trim();
  if (/^https?:\/\//i.test(line)) {
    return URL.canParse(line) ? { kind: 'url', url: new URL(line) } : undefined;
  }
  const [, id, revision = 'main'] = /^([\w][\w.-]*\/[\w][\w.-]*)(?:@([\w][\w./-]*))?$/.exec(line) ?? [];
  return id === undefined ? undefined : { kind: 'id', id, revision };
}

/** Returns the address at which a hub lists a model's files. */
export function listingUrl(hub: string, id: string, revision: string): URL {
  return new URL(`api/models/${id}/revision/${encodeURIComponent(revision)}`, folder(hub));
}

/** Returns the address of a model's file at a hub, which answers requests for ranges. */
export function fileUrl(hub: string, id: string, revision: string, path: string): URL {
  const encoded = path.split('/').map(encodeURIComponent).join('/');
  return new URL(`${id}/resolve/${encodeURIComponent(revision)}/${encoded}`, folder(hub));
}

/** Returns the paths of a hub's listing; none if it is not one. */
export function listedPaths(listing: unknown): string[] {
  const siblings = (listing as { siblings?: unknown } | null)?.siblings;
  if (!Array.isArray(siblings)) return [];
  return siblings.map((entry) => entry?.rfilename).filter((path) => typeof path === 'string');
}

function folder(hub: string): string {
  return hub.endsWith('/') ? hub : `${hub}/`;
}
