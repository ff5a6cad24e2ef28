import { make } from './dom.js';

/** The checks that a restored model has passed, and its digest. */
export interface Check {
  /** `true` for a model that was computed by a merge, and is no archive's. */
  computed?: true;
  /** The version of the archive's format. Version 1 has nothing to check a model by. */
  version: number;
  /** SHA-256 in hex; undefined if the page could not compute it. */
  sha256: string | undefined;
  /** The SHA-256 that the model must have, if the page knows it. */
  expected?: string;
}

/** Returns the title of a restored model, by whether its bytes have been checked. */
export function restoredTitle(checked: boolean): string {
  return checked ? 'Restored, bit for bit' : 'Restored, but not checked';
}

const SURE = 'Every chunk has the checksum that the archive states, so the base was the right one.';
const UNSURE =
  'The archive is of version 1, which has no checksums: this page could check neither the base nor ' +
  'the model. With a wrong base of the same shapes, the model is wrong without an error.';
const COMPUTED =
  'This is a computation and not a restore: no archive tells which bytes the model must have. ' +
  'If it must be a certain file, compare its SHA-256 with the published one.';
const ASK = 'Enter the SHA-256 that the model must have.';
const NO_DIGEST =
  'The page cannot compute its SHA-256 here: the file is too large, or the address is not secure.';

/** Tells what was checked and what could not be, and compares the digest with an expected one. */
export function checkView({ computed, version, sha256, expected }: Check): HTMLElement {
  const known = computed || version > 1;
  const text = computed ? COMPUTED : known ? SURE : `${UNSURE} ${sha256 ? ASK : NO_DIGEST}`;
  const badge = make('span', { class: 'badge', id: 'verdict' });
  const show = (wanted: string) => {
    const verdict = verdictOf(sha256, wanted);
    badge.className = `badge ${verdict.kind}`;
    badge.textContent = verdict.text;
    const title = document.querySelector('#result h2');
    if (title && !known) {
      title.textContent = restoredTitle(verdict.kind === 'good');
      title.classList.toggle('good', verdict.kind === 'good');
    }
  };
  show(expected ?? '');
  const line = sha256 ? [make('p', { class: 'digest', id: 'digest' }, badge, make('code', {}, sha256))] : [];
  const field = sha256 && expected === undefined ? [expectedField(show)] : [];
  return make(
    'div',
    { class: 'check' },
    make('p', { id: 'checked', class: known ? 'aside' : 'warning' }, text),
    ...line,
    ...field,
  );
}

function expectedField(show: (wanted: string) => void): HTMLElement {
  const input = make('input', {
    ...{ type: 'text', id: 'expected', autocomplete: 'off', spellcheck: 'false' },
    placeholder: '64 hex digits',
  });
  input.addEventListener('input', () => show(input.value));
  return make('label', { class: 'field' }, 'Expected SHA-256 ', input);
}

/** Compares a digest with the one that a user expects, in any of its usual spellings. */
function verdictOf(sha256: string | undefined, wanted: string): { kind: string; text: string } {
  const expected = wanted
    .trim()
    .replace(/^sha256[-:]/i, '')
    .replace(/^"(.*)"$/, '$1')
    .toLowerCase();
  if (expected === '') return { kind: '', text: 'SHA-256' };
  if (!/^[0-9a-f]{64}$/.test(expected)) return { kind: '', text: 'That is not a SHA-256' };
  return expected === sha256
    ? { kind: 'good', text: 'SHA-256 matches' }
    : { kind: 'bad', text: 'SHA-256 differs: this is another model' };
}
