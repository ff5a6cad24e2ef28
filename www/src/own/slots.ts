import type { Effort } from 'bitx-wasm';
import { byId } from '../dom.js';
import { isRunning } from '../task/stage.js';
import { configBeside, isAdapter } from './adapter.js';
import { addFiles, type Choice } from './choice.js';
import { acceptDrops, type Dropped, MOST_FILES, ofFile, tooMany } from './drop.js';
import { isDelta } from './groups.js';
import { describe, type Model, type Source } from './source.js';

/** The operation that the chosen files allow. */
export type Task =
  | { kind: 'restore'; base: Model; delta: Model }
  | { kind: 'compress'; base: Model; target: Model; effort: Effort }
  | { kind: 'merge'; base: Model; adapter: Model; config: Source }
  | { kind: 'look'; model: Model };

/** The two slots of the page, which hold the models that the reader chose. */
export class Slots {
  #choice: Choice = {};
  readonly #changed: () => void;

  /** `changed` is called after a choice. */
  constructor(changed: () => void) {
    this.#changed = changed;
    this.#pick('base-file', (model) => ({ ...this.#choice, base: model }));
    this.#pick('other-file', (model) => ({ ...this.#choice, other: model }));
    this.#pickFolder();
    for (const id of ['base-slot', 'other-slot']) this.#clearable(id);
    byId('swap').addEventListener('click', () => {
      const { base, other } = this.#choice;
      this.#set({ base: other, other: base });
    });
    acceptDrops((dropped) => void this.#take(dropped));
  }

  get task(): Task | undefined {
    const { base, other } = this.#choice;
    if (base && other) {
      if (isDeltaModel(other)) return { kind: 'restore', base, delta: other };
      const config = this.#config;
      if (config) return { kind: 'merge', base, adapter: other, config };
      if (isAdapter(other)) return { kind: 'look', model: other };
      const effort = byId<HTMLSelectElement>('effort').value as Effort;
      return { kind: 'compress', base, target: other, effort };
    }
    const model = other ?? base;
    return model && { kind: 'look', model };
  }

  /** A sentence about what is missing for more than a look. */
  get missing(): string {
    const { base, other } = this.#choice;
    const model = other ?? base;
    if (!model || (base && other && !isAdapter(other))) return '';
    if (isDeltaModel(model)) return 'Add its base to restore the model.';
    if (!isAdapter(model)) return '';
    if (!this.#config) return 'Add its adapter_config.json to merge the adapter.';
    return base && other ? '' : 'Add its base to merge the adapter.';
  }

  /** The configuration of the adapter: the one that was given, or that beside its address. */
  get #config(): Source | undefined {
    const { other, config } = this.#choice;
    return config ?? (other && isAdapter(other) ? configBeside(other) : undefined);
  }

  /** Takes files, as if they had been dropped. */
  add(sources: Source[]): void {
    const { choice, note } = addFiles(this.#choice, sources);
    this.#set(choice, note);
  }

  async #take(dropped: Promise<Dropped>): Promise<void> {
    // The running task goes on with its own files; the page would offer others.
    const refused = 'A task is running. Drop the files again when it has ended.';
    if (isRunning()) return say(refused);
    const result = await dropped.catch((error: unknown) => ({ refused: `${error}` }));
    if (isRunning()) return say(refused);
    if ('refused' in result) return say(result.refused);
    this.add(result.sources);
  }

  #pick(id: string, choose: (model: Model | undefined) => Choice): void {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener('change', () => {
      const sources = [...(input.files ?? [])].map(ofFile);
      // Without this, choosing the same file again would fire no change event.
      input.value = '';
      if (sources.length === 0) return;
      const { choice, note } = addFiles({}, sources);
      const { config } = choice;
      const model = choice.other ?? choice.base;
      const next = model ? choose(model) : this.#choice;
      this.#set(config ? { ...next, config } : next, note);
    });
  }

  #pickFolder(): void {
    const input = byId<HTMLInputElement>('folder');
    input.addEventListener('change', () => {
      const sources = [...(input.files ?? [])].map(ofFile);
      input.value = '';
      if (sources.length > MOST_FILES) say(tooMany('The folder'));
      else if (sources.length > 0) this.add(sources);
    });
  }

  /** Lets the reader take a file away again. */
  #clearable(id: string): void {
    byId(id)
      .querySelector('button')
      ?.addEventListener('click', (event) => {
        event.preventDefault();
        const { base, other, config } = this.#choice;
        this.#set(id === 'base-slot' ? { other, config } : { base });
      });
  }

  #set(choice: Choice, note = ''): void {
    this.#choice = choice;
    showModel('base-slot', choice.base);
    showModel('other-slot', choice.other, choice.other && choice.config && ', with its configuration');
    byId('swap').hidden = this.task?.kind !== 'compress';
    this.#changed();
    if (note) say(note);
  }
}

export function isDeltaModel({ files }: Model): boolean {
  return files.every(isDelta);
}

/** Says something beside the button. */
export function say(text: string): void {
  byId('hint').textContent = text;
}

function showModel(slot: string, model: Model | undefined, more = ''): void {
  const element = byId(slot);
  element.classList.toggle('filled', model !== undefined);
  const label = element.querySelector('.slot-file');
  if (label) label.textContent = model ? describe(model) + more : '';
  const clear = element.querySelector('button');
  if (clear) clear.hidden = !model;
}
