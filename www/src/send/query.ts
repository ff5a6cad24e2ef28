/** The addresses that a link to the page names. */
export type Link = { kind: 'restore'; bases: URL[]; delta: URL } | { kind: 'look'; model: URL };

/** The reason why a link cannot be opened, for the reader. */
export class LinkError extends Error {
  override readonly name = 'LinkError';
}

/**
 * Reads the addresses of `?base=…&delta=…` or `?model=…`. A sharded base repeats `base`. Relative
 * addresses belong to the page. Returns undefined if the link names none.
 *
 * @throws LinkError if an address is missing or is none
 */
export function readLink(page: string): Link | undefined {
  const { searchParams } = new URL(page);
  const [bases, deltas, models] = ['base', 'delta', 'model'].map((name) => searchParams.getAll(name));
  if (!bases?.length && !deltas?.length && !models?.length) return undefined;
  if (models?.length) {
    if (models.length > 1 || bases?.length || deltas?.length)
      throw new LinkError(
        'This link names a model and other files. It may name one model, or a base and a delta.',
      );
    return { kind: 'look', model: addressOf('model', models[0] ?? '', page) };
  }
  if (deltas?.length !== 1 || !bases?.length)
    throw new LinkError('This link is incomplete: it needs the addresses of a base and of one delta.');
  return {
    kind: 'restore',
    bases: bases.map((base) => addressOf('base', base, page)),
    delta: addressOf('delta', deltas[0] ?? '', page),
  };
}

function addressOf(name: string, text: string, page: string): URL {
  const url = text.trim() !== '' && URL.canParse(text, page) ? new URL(text, page) : undefined;
  if (!url || !/^https?:$/.test(url.protocol))
    throw new LinkError(
      `The address of the ${name} in this link is not an address of the web: ${text || '(empty)'}`,
    );
  return url;
}

/** Returns the files of a link in the order in which they are fetched. */
export function filesOf(link: Link): URL[] {
  return link.kind === 'look' ? [link.model] : [...link.bases, link.delta];
}

/** Returns the origins other than the page's, from which a link would fetch. */
export function otherOrigins(link: Link, page: string): string[] {
  const own = new URL(page).origin;
  return [...new Set(filesOf(link).map(({ origin }) => origin))].filter((origin) => origin !== own);
}

/** Returns the page's address that opens a link. Addresses of the page's own folder are shortened. */
export function linkTo(link: Link, page: string): string {
  const target = new URL(page);
  target.search = '';
  target.hash = '';
  const folder = new URL('./', target).href;
  const short = ({ href }: URL) => (href.startsWith(folder) ? href.slice(folder.length) : href);
  const query = new URLSearchParams();
  if (link.kind === 'look') query.append('model', short(link.model));
  else {
    for (const base of link.bases) query.append('base', short(base));
    query.append('delta', short(link.delta));
  }
  target.search = query.toString();
  return target.href;
}

/** Returns the name of a file from its address, without the slashes that it may encode. */
export function fileName(url: URL): string {
  const last = url.pathname.split('/').findLast((part) => part !== '') ?? url.host;
  try {
    return decodeURIComponent(last).replaceAll(/[/\\]/g, '_');
  } catch {
    return last;
  }
}
