import { BitxError, type BitxErrorCode } from 'bitx-wasm';
import { byId, make } from './dom.js';
import { Explained } from './own/explain.js';
import { LinkError } from './send/query.js';

/** Texts for the reader: what happened, and what to do about it. */
const TEXTS: Partial<Record<BitxErrorCode, [title: string, advice: string]>> = {
  format: ['This is not the kind of file it should be', 'Check that it is the file itself, and all of it.'],
  'invalid-argument': [
    'This cannot be used here',
    'Choose or drop the files themselves: a base, and a .bitx delta or a fine-tune.',
  ],
  corrupt: [
    'This file is damaged',
    'Download it again. If that does not help, whoever made it has to make it again.',
  ],
  truncated: ['This file ends too early', 'The download was probably cut off. Download it again.'],
  unsupported: [
    'This file needs a newer version',
    'It uses a feature that this version of bitx does not have.',
  ],
  'base-mismatch': [
    'This is not the base of that delta',
    'Choose the exact model that the delta was made against.',
  ],
  limit: [
    'This file is too large to handle here',
    'Try the command line tool, which has more memory to work with.',
  ],
  network: ['The transfer failed', 'Check the connection and try again.'],
  changed: [
    'A file changed while it was being read',
    'Start again: the parts read so far belong to two different files.',
  ],
  io: ['A file could not be read or written', 'It may have been moved or changed, or the disk may be full.'],
  integrity: [
    'The file does not have the expected content',
    'It was changed on the way or at its source. None of it was kept.',
  ],
  quota: ['There is not enough storage', 'The browser grants this page less storage than the model needs.'],
  unauthorized: ['The hub wants to know who you are', 'Enter a token that it knows.'],
  forbidden: [
    'The hub does not allow that',
    'This token may not write there. Choose another name or use another token.',
  ],
  'not-found': [
    'The hub has no such model',
    'Check its name. It may have been removed, or be readable only with a token.',
  ],
  conflict: ['The hub has something else under that name', 'Choose another name.'],
  'start-failed': ['This browser cannot run bitx', 'Use a current version of Chrome, Firefox or Safari.'],
};
const OTHER: [string, string] = [
  'Something went wrong',
  'This should not happen. Please report it with the text above.',
];
const LINK: [string, string] = [
  'This link cannot be opened',
  'It may have been cut off. A whole one has ?base=…&delta=… or ?model=… in it.',
];

/** Shows an error in plain words, followed by the engine's own words and figures. */
export function showError(error: unknown): void {
  const thrown = error instanceof Explained ? error.fault : error;
  const sentence = error instanceof Explained ? error.sentence : undefined;
  const code = thrown instanceof BitxError ? thrown.code : undefined;
  const [title, advice] = thrown instanceof LinkError ? LINK : ((code && TEXTS[code]) ?? OTHER);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const panel = byId('error');
  panel.replaceChildren(
    make('h2', {}, (error instanceof Explained && error.title) || title),
    make('p', {}, sentence ?? message),
    make('p', {}, advice),
    ...details(thrown, sentence ? message : undefined),
  );
  panel.hidden = false;
}

/** Returns the figures of an error of the engine, and its message if the sentences above lack it. */
function details(thrown: unknown, message: string | undefined): Node[] {
  if (!(thrown instanceof BitxError)) return [];
  const { code, file, tensor, offset, expected, found, url, status } = thrown;
  const rows = Object.entries({ code, message, file, tensor, offset, expected, found, url, status })
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, String(value))]);
  return [make('dl', { class: 'figures' }, ...rows)];
}
