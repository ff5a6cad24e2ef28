import type { Effort } from 'bitx-wasm';
import { byId } from './dom.js';
import { bytes } from './format.js';

/** The operation that the chosen files allow. */
export type Task =
  | { kind: 'restore'; base: File; delta: File }
  | { kind: 'compress'; base: File; target: File; effort: Effort }
  | { kind: 'inspect'; delta: File };

/** The two file slots of the page, which are filled by dropping or choosing files. */
export class Slots {
  #base: File | undefined;
  #other: File | undefined;
  readonly #changed: () => void;

  /** `changed` is called after a choice, and `folder` with the name of a dropped folder. */
  constructor(changed: () => void, folder: (name: string) => void) {
    this.#changed = changed;
    this.#pick('base-file', (file) => {
      this.#base = file;
    });
    this.#pick('other-file', (file) => {
      this.#other = file;
    });
    byId('swap').addEventListener('click', () => {
      [this.#base, this.#other] = [this.#other, this.#base];
      this.#show();
    });
    acceptDrops((files) => this.#fill(files), folder);
  }

  get task(): Task | undefined {
    const [base, other] = [this.#base, this.#other];
    if (other && isDelta(other)) {
      return base ? { kind: 'restore', base, delta: other } : { kind: 'inspect', delta: other };
    }
    const effort = byId<HTMLSelectElement>('effort').value as Effort;
    return base && other ? { kind: 'compress', base, target: other, effort } : undefined;
  }

  #fill(files: File[]): void {
    const delta = files.find(isDelta);
    const models = files.filter((file) => !isDelta(file));
    if (delta) {
      this.#other = delta;
      this.#base = models[0] ?? this.#base;
    } else if (models.length > 1) {
      const base = models.find((file) => /base/i.test(file.name)) ?? models[0];
      this.#base = base;
      this.#other = models.find((file) => file !== base);
    } else if (this.#base && !this.#other) {
      this.#other = models[0];
    } else {
      this.#base = models[0] ?? this.#base;
    }
    this.#show();
  }

  #pick(id: string, take: (file: File) => void): void {
    const input = byId<HTMLInputElement>(id);
    input.addEventListener('change', () => {
      const file = input.files?.[0];
      if (file) take(file);
      // Without this, choosing the same file again would fire no change event.
      input.value = '';
      this.#show();
    });
  }

  #show(): void {
    showFile('base-slot', this.#base);
    showFile('other-slot', this.#other);
    byId('swap').hidden = this.task?.kind !== 'compress';
    this.#changed();
  }
}

export function isDelta(file: File): boolean {
  return /\.bitx$/i.test(file.name);
}

function showFile(slot: string, file: File | undefined): void {
  const label = byId(slot).querySelector('.slot-file');
  byId(slot).classList.toggle('filled', file !== undefined);
  if (label) label.textContent = file ? `${file.name}, ${bytes(file.size)}` : '';
}

function acceptDrops(take: (files: File[]) => void, refuse: (folder: string) => void): void {
  const over = (event: DragEvent, on: boolean) => {
    event.preventDefault();
    document.body.classList.toggle('dropping', on);
  };
  document.addEventListener('dragover', (event) => over(event, true));
  document.addEventListener('dragleave', (event) => over(event, event.relatedTarget !== null));
  document.addEventListener('drop', (event) => {
    over(event, false);
    const folder = folderIn(event.dataTransfer);
    if (folder !== undefined) return refuse(folder);
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) take(files);
  });
}

/** Returns the name of a folder among the dropped things; it would look like a file. */
function folderIn(transfer: DataTransfer | null): string | undefined {
  const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.());
  return entries.find((entry) => entry?.isDirectory)?.name;
}
