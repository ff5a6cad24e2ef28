import { byId } from '../dom.js';
import { readLink } from './query.js';
import { type Files, PLACEHOLDERS, type Place, snippet } from './snippets.js';

/** The time for which the button says that it has copied, in milliseconds. */
const SAID_MS = 2000;

/** Shows the code that does the same in a page, in Node and in a shell, and copies it. */
export function prepareCode(): void {
  const show = () => {
    byId('code').textContent = snippet(chosen(), files());
  };
  byId('places').addEventListener('change', show);
  byId('copy').addEventListener('click', () => void copy());
  // The box scrolls, so the keyboard has to reach it.
  byId('code-box').tabIndex = 0;
  show();
}

function chosen(): Place {
  return document.querySelector<HTMLInputElement>('input[name="place"]:checked')?.value as Place;
}

/** Returns the files of the page's own link, or placeholders. */
function files(): Files {
  try {
    const link = readLink(location.href);
    if (link?.kind === 'restore') {
      return { bases: link.bases.map(({ href }) => href), delta: link.delta.href };
    }
  } catch {
    // A broken link is explained elsewhere.
  }
  return PLACEHOLDERS;
}

async function copy(): Promise<void> {
  const button = byId('copy');
  const code = byId('code');
  try {
    await navigator.clipboard.writeText(code.textContent ?? '');
    button.textContent = 'Copied';
  } catch {
    // Without the clipboard, the code is selected for the reader to copy.
    getSelection()?.selectAllChildren(code);
    button.textContent = 'Selected';
  }
  setTimeout(() => {
    button.textContent = 'Copy';
  }, SAID_MS);
}
