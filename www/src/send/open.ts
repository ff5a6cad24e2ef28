import { byId, make } from '../dom.js';
import { ofUrl } from '../own/source.js';
import { runTask } from '../own/tasks.js';
import { perform, showFault } from '../task/stage.js';
import { filesOf, type Link, linkTo, otherOrigins, readLink } from './query.js';

/** The key under which a tab remembers the link whose fetching the reader has allowed. */
const ALLOWED = 'bitx-allowed-link';

/**
 * Opens the files that the page's address names, if any. Files of other origins are shown first,
 * and fetched after a click; a reload of the same link need not ask again.
 */
export function openLink(): void {
  let link: Link | undefined;
  try {
    link = readLink(location.href);
  } catch (error) {
    showFault(error, byId('ask'));
    return;
  }
  if (!link) return;
  const origins = otherOrigins(link, location.href);
  if (origins.length === 0 || remembered() === location.search) void run(link, byId('ask'));
  else ask(link, origins);
}

function ask(link: Link, origins: string[]): void {
  const panel = byId('ask');
  const yes = make('button', { class: 'primary', type: 'button', id: 'allow' }, 'Fetch them');
  const no = make('button', { type: 'button', id: 'refuse' }, 'Do not fetch');
  const hosts = origins.map((origin) => new URL(origin).host).join(' and ');
  yes.addEventListener('click', () => {
    panel.hidden = true;
    remember(location.search);
    void run(link, byId('ask'));
  });
  no.addEventListener('click', () => {
    panel.hidden = true;
  });
  panel.replaceChildren(
    make('h2', {}, `This link asks for files from ${hosts}`),
    make(
      'ul',
      { class: 'addresses' },
      ...filesOf(link).map(({ href }) => make('li', {}, make('code', {}, href))),
    ),
    make('p', { class: 'aside' }, 'Nothing has been fetched. Those servers would see your request.'),
    make('div', { class: 'actions' }, yes, no),
  );
  panel.hidden = false;
}

/**
 * Runs what the reader began with addresses of their own, below `section`. The page's address then
 * names the files, so that it can be sent on, and a reload continues.
 */
export function runAddresses(link: Link, section: HTMLElement): Promise<void> {
  history.replaceState(null, '', linkTo(link, location.href));
  remember(location.search);
  return run(link, section);
}

function run(link: Link, section: HTMLElement): Promise<void> {
  return perform(async (ready, context) => {
    if (link.kind === 'restore') {
      const { restoreLink } = await import('./restore.js');
      return restoreLink(ready, link.bases, link.delta, context);
    }
    const source = ofUrl(link.model);
    await runTask(ready, { kind: 'look', model: { name: source.path, files: [source] } }, context);
  }, section);
}

function remembered(): string | null {
  try {
    return sessionStorage.getItem(ALLOWED);
  } catch {
    return null;
  }
}

function remember(search: string): void {
  try {
    sessionStorage.setItem(ALLOWED, search);
  } catch {
    // Without storage, a reload asks again.
  }
}
