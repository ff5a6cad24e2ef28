import type { ArchiveInfo } from 'bitx-wasm';
import { make } from '../dom.js';
import { bytes, percent } from '../format.js';
import type { Totals } from './totals.js';

/** A stage of the way from a model to its archive, with the bytes that are left. */
interface Stage {
  name: string;
  about: string;
  bytes: number;
  kind: 'whole' | 'between' | 'delta';
}

/** Shows the stages of making this archive, with its bytes at each. */
export function pipeline(archive: ArchiveInfo, totals: Totals): HTMLElement {
  const stages = stagesOf(archive, totals);
  const largest = Math.max(...stages.map((stage) => stage.bytes));
  const item = ({ name, about, bytes: size, kind }: Stage) => {
    const fill = make('span', { class: `fill ${kind}` });
    fill.style.inlineSize = `${Math.max((size / largest) * 100, 0.5)}%`;
    return make(
      'li',
      {},
      make(
        'span',
        { class: 'stage-name' },
        make('strong', {}, name),
        make('span', { class: 'aside' }, about),
      ),
      make('span', { class: 'track' }, fill),
      make('strong', { class: 'stage-size' }, bytes(size)),
    );
  };
  return make(
    'section',
    { class: 'pipeline', 'aria-label': 'Stages' },
    make('h3', {}, 'From the model to its archive'),
    make('ol', {}, ...stages.map(item)),
    make(
      'p',
      { class: 'aside' },
      `The archive has ${percent(archive.storedBytes, archive.restoredBytes)} of the model’s bytes. The first ` +
        'and the last size are those of the files; those between follow from the counted differences.',
    ),
  );
}

/** Returns the stages of an archive. Bytes of tensors without a pair stay as they are until the end. */
export function stagesOf(archive: ArchiveInfo, totals: Totals): Stage[] {
  const { length, changedLength, plainBytes, contextBytes } = totals;
  const whole = archive.restoredBytes;
  const rest = Math.max(0, whole - length);
  const saved = archive.tensors.reduce((sum, { prediction }) => sum + (prediction?.savedBytes ?? 0), 0);
  const predicted = archive.tensors.filter(({ prediction }) => prediction).length;
  const predictions = predicted > 0 ? `; predictions save ${bytes(saved)}` : '';
  const stages: Stage[] = [
    { name: 'Model', about: 'as it would be downloaded', bytes: whole, kind: 'whole' },
    {
      name: 'Changed tensors',
      about: 'equal ones are references to the base',
      bytes: changedLength + rest,
      kind: 'between',
    },
    {
      name: 'Differences',
      about: 'in steps of each weight; frequent ones take few bits',
      bytes: Math.min(plainBytes, changedLength) + rest,
      kind: 'between',
    },
    {
      name: 'In context',
      about: 'the base’s exponent tells how far a weight moves',
      bytes: Math.min(contextBytes, plainBytes, changedLength) + rest,
      kind: 'between',
    },
    {
      name: 'Archive',
      about: `in contexts of rows and columns as well${predictions}`,
      bytes: archive.storedBytes,
      kind: 'delta',
    },
  ];
  return stages;
}
