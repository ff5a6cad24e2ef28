import type { BitxHub, HubPlannedPush, HubPushResult } from 'bitx-wasm/hub';
import { byId, make } from '../dom.js';
import { bytes, percent } from '../format.js';
import { showResult } from '../result.js';
import type { Context, Perform } from '../task/stage.js';

/** The least part of a file that a base must have in common with it to be called fitting. */
const LEAST_ALIKE = 0.05;
/** Bases that are shown, at most. */
const MOST_BASES = 4;

/** The panel that publishes one of the user's files at the hub. */
export class UploadPanel {
  readonly #changed: () => Promise<void>;
  readonly #button = byId<HTMLButtonElement>('upload-go');
  readonly #input = byId<HTMLInputElement>('upload-file');
  readonly #name = byId<HTMLInputElement>('upload-name');
  #hub: BitxHub | undefined;
  #file: File | undefined;

  /** Creates the panel. `changed` is called after the hub has published a model. */
  constructor(perform: Perform, changed: () => Promise<void>) {
    this.#changed = changed;
    this.#input.addEventListener('change', () => {
      this.#file = this.#input.files?.[0] ?? this.#file;
      // Without this, choosing the same file again would fire no change event.
      this.#input.value = '';
      if (this.#file) void perform((_, context) => this.#plan(context), byId('upload'));
    });
    byId('upload-form').addEventListener('submit', (event) => {
      event.preventDefault();
      void perform((_, context) => this.#push(context), byId('upload'));
    });
  }

  connect(hub: BitxHub): void {
    this.#hub = hub;
    byId('upload').hidden = false;
  }

  /** Hides the panel, and forgets the hub and the plan that was made for it. */
  disconnect(): void {
    this.#hub = undefined;
    this.#file = undefined;
    byId('upload-slot').classList.remove('filled');
    for (const id of ['upload', 'upload-plan', 'upload-form']) byId(id).hidden = true;
  }

  enable(enabled: boolean): void {
    this.#button.disabled = !enabled;
    this.#input.disabled = !enabled;
  }

  get #files(): Record<string, File> {
    return this.#file ? { [this.#file.name]: this.#file } : {};
  }

  async #plan({ signal, onProgress }: Context): Promise<void> {
    const file = this.#file;
    if (!this.#hub || !file) return;
    byId('upload-slot').classList.add('filled');
    const label = byId('upload-slot').querySelector('.slot-file');
    if (label) label.textContent = `${file.name}, ${bytes(file.size)}`;
    byId('upload-plan').hidden = true;
    // The form is shown even if the hub refuses this name, because another name may be allowed.
    byId('upload-form').hidden = false;
    this.#name.value = `mine/${file.name.replace(/\.[^.]*$/, '').replaceAll(/[^\w.-]+/g, '-')}`;
    const { files } = await this.#hub.planPush(this.#name.value, this.#files, { signal, onProgress });
    byId('upload-plan').replaceChildren(...files.flatMap(planView));
    byId('upload-plan').hidden = false;
  }

  async #push({ signal, onProgress }: Context): Promise<void> {
    if (!this.#hub || !this.#file) return;
    const result = await this.#hub.push(this.#name.value, this.#files, { signal, onProgress });
    showPushed(result);
    await this.#changed();
  }
}

/** Shows what the hub already has of a file, and which bases it could be sent against. */
function planView({ known, length, tensors, knownTensors, bases: all, base }: HubPlannedPush): Node[] {
  const bases = all.filter(({ alike, equal }) => Math.max(alike, equal) >= LEAST_ALIKE * length);
  const has = known
    ? 'all of it: nothing has to be sent'
    : `${knownTensors.count} of ${tensors.count} tensors, ${bytes(knownTensors.bytes)} of ${bytes(length)}`;
  const way = base
    ? `as a delta against ${base.model}`
    : bases.length > 0
      ? 'compressed without a base; pull one of these bases first to send a delta'
      : 'compressed without a base, because the hub knows none for it';
  const rows: [string, ...(Node | string)[]][] = [
    ['The hub has', has],
    ...(known ? [] : ([['It is sent', way]] as [string, string][])),
    ...(bases.length > 0 ? [['Bases that fit', basesView(bases)] as [string, Node]] : []),
  ];
  return [
    make(
      'dl',
      { class: 'facts' },
      ...rows.flatMap(([term, ...rest]) => [make('dt', {}, term), make('dd', {}, ...rest)]),
    ),
  ];
}

function basesView(bases: HubPlannedPush['bases']): Node {
  const item = ({ model, here, equal, alike, length }: HubPlannedPush['bases'][number]) =>
    make(
      'li',
      {},
      `${model} `,
      make('span', { class: 'aside' }, `${percent(alike, length)} alike, ${percent(equal, length)} equal`),
      ...(here ? [' ', make('span', { class: 'badge good' }, 'in the cache')] : []),
    );
  const more = bases.length - MOST_BASES;
  return make(
    'ul',
    { class: 'bases' },
    ...bases.slice(0, MOST_BASES).map(item),
    ...(more > 0 ? [make('li', { class: 'aside' }, `and ${more} more`)] : []),
  );
}

function showPushed({ name, bytes: whole, sentBytes, files }: HubPushResult): void {
  const base = files.find((file) => file.base)?.base;
  const known = files.every((file) => file.known);
  showResult({
    title: `Published ${name}`,
    bars: [
      ['Whole model', whole, 'whole'],
      ['Sent', sentBytes, 'delta'],
    ],
    figures: [
      [
        'Sent',
        bytes(sentBytes),
        known ? 'the hub had it' : base ? `delta against ${base.model}` : 'without a base',
      ],
      ['Saved', percent(whole - sentBytes, whole), 'of the upload'],
      ['Checked', 'by the hub', 'decoded and compared'],
    ],
  });
}
