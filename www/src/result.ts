import type { ArchiveInfo, Stats, TensorPlace } from 'bitx-wasm';
import { type Check, checkView, restoredTitle } from './check.js';
import { byId, make } from './dom.js';
import { bytes, speed, threads } from './format.js';
import { linkView } from './link.js';
import { archiveTable, modelTable } from './table/tensors.js';

/** A file that the page offers to save. */
export interface Saved {
  blob: Blob;
  name: string;
  /** `true` if the reader has chosen a file for it, so that it is saved already. */
  kept?: boolean;
}

/** A size that is drawn as a bar beside others. */
export type Bar = [label: string, size: number, kind: 'whole' | 'delta'];

/** One figure of a result. */
export type Figure = [label: string, value: string, note?: string];

interface Result {
  title: string;
  figures: Figure[];
  /** Default: the bars of the archive. */
  bars?: Bar[];
  /** A sentence below the bars. */
  note?: string;
  /** `true` for a sentence that must not be overlooked. */
  warning?: boolean;
  /** The bytes of the whole model and of the fetched change, for a link's times. */
  link?: { whole: number; fetched: number };
  archive?: ArchiveInfo;
  /** The tensors of a model that is no archive. */
  tensors?: TensorPlace[];
  save?: Saved | Saved[];
  check?: Check;
}

const savedUrls: string[] = [];

/** Shows the result of an operation. */
export function showResult({
  title,
  figures,
  archive,
  tensors,
  bars = archiveBars(archive),
  note,
  warning = false,
  link,
  save,
  check,
}: Result): void {
  const panel = byId('result');
  panel.replaceChildren(
    make('div', { class: 'result-head' }, heading(title), ...saveLinks(save)),
    ...(bars.length > 0 ? [sizes(bars)] : []),
    ...(note ? [make('p', { class: warning ? 'warning' : 'aside', id: 'note' }, note)] : []),
    make('dl', { class: 'tiles' }, ...figures.map(tile)),
    ...(link ? [linkView(link.whole, link.fetched)] : []),
    ...(check ? [checkView(check)] : []),
    ...(archive ? [archiveTable(archive)] : []),
    ...(tensors ? [modelTable(tensors)] : []),
  );
  panel.hidden = false;
}

/**
 * Scrolls to the result or the error, if there is one. This is for the end of a task: any change of
 * the page above would move it again.
 */
export function reveal(): void {
  const panel = ['error', 'notice', 'result'].map((id) => byId(id)).find(({ hidden }) => !hidden);
  panel?.focus({ preventScroll: true });
  panel?.scrollIntoView({ behavior: 'smooth', block: 'start' });
}

export function clearResult(): void {
  for (const id of ['error', 'notice', 'result']) byId(id).hidden = true;
}

/** Returns the speed figures that restoring and compressing have in common. */
export function speedFigures({
  modelBytes,
  codecSeconds,
  totalSeconds,
}: Pick<Stats, 'modelBytes' | 'codecSeconds' | 'totalSeconds'>): Figure[] {
  return [
    ['Speed', speed(modelBytes, codecSeconds), 'computing only'],
    ['Overall', speed(modelBytes, totalSeconds), 'with reading and writing'],
  ];
}

/** Returns the figures of a restore. */
export function restoreFigures(stats: Stats): Figure[] {
  return [
    ['Restored', bytes(stats.outputBytes), 'the whole model'],
    ...speedFigures(stats),
    threadFigure(stats),
  ];
}

export function threadFigure({ threads: count }: Pick<Stats, 'threads'>): Figure {
  return ['Computed on', threads(count), count > 1 ? 'in parallel' : 'no others can be used here'];
}

/** Returns the title, with a check mark if it says that the model is right. */
function heading(title: string): HTMLElement {
  return make('h2', title === restoredTitle(true) ? { class: 'good' } : {}, title);
}

/** Returns the links that save the result's files. */
function saveLinks(save: Saved | Saved[] = []): HTMLElement[] {
  for (const url of savedUrls.splice(0)) URL.revokeObjectURL(url);
  return [save].flat().map((saved, index) => saveLink(saved, index === 0 ? 'save' : `save-${index + 1}`));
}

function saveLink({ blob, name, kept }: Saved, id: string): HTMLElement {
  if (kept) return make('span', { class: 'badge good', id }, `Saved as ${name}`);
  const href = URL.createObjectURL(blob);
  savedUrls.push(href);
  return make('a', { class: 'primary', id, href, download: name }, `Save ${name}`);
}

/** Returns the sizes of the model and of the archive as bars. */
function archiveBars(archive: ArchiveInfo | undefined): Bar[] {
  if (!archive) return [];
  return [
    ['Whole model', archive.restoredBytes, 'whole'],
    ['.bitx delta', archive.storedBytes, 'delta'],
  ];
}

/** Draws sizes as bars. The largest fills its track. */
export function sizes(bars: Bar[]): HTMLElement {
  const largest = Math.max(1, ...bars.map(([, size]) => size));
  const bar = ([label, size, kind]: Bar) => {
    const fill = make('span', { class: `fill ${kind}` });
    fill.style.inlineSize = `${size === 0 ? 0 : Math.max((size / largest) * 100, 0.5)}%`;
    return make(
      'div',
      { class: 'size' },
      make('span', {}, label),
      make('span', { class: 'track' }, fill),
      make('strong', {}, bytes(size)),
    );
  };
  return make('div', { class: 'sizes', role: 'group', 'aria-label': 'Sizes' }, ...bars.map(bar));
}

function tile([label, value, note]: Figure): HTMLElement {
  const parts = [make('dt', {}, label), make('dd', {}, value)];
  return make('div', { class: 'tile' }, ...parts, ...(note ? [make('dd', { class: 'aside' }, note)] : []));
}
