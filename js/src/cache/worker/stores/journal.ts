import { decodeMeta, encode, type PartMeta, type PartRecord } from '../records.js';
import { type AccessHandle, writeAll } from './access.js';

const RECORD = /^(\d+) ([0-9a-f]{64}|-)$/;

/**
 * The record of an incomplete model as a file that only grows: a line of JSON, then a line for
 * every chunk that was stored or removed. A last line that a crash has cut off is ignored.
 */
export class Journal {
  readonly #file: AccessHandle;
  #record: PartRecord | undefined;
  #end = 0;

  constructor(file: AccessHandle) {
    this.#file = file;
    const bytes = new Uint8Array(file.getSize());
    file.read(bytes, { at: 0 });
    this.#record = readJournal(new TextDecoder().decode(bytes));
    // Continue after the last complete line: an incomplete one would spoil the next.
    this.#end = bytes.lastIndexOf(0x0a) + 1;
  }

  get record(): PartRecord | undefined {
    return this.#record;
  }

  get chunkSize(): number {
    return this.#begun().meta.chunkSize;
  }

  begin(meta: PartMeta, chunks: Map<number, string>): void {
    this.#record = { meta, chunks: new Map(chunks) };
    this.#file.truncate(0);
    this.#end = 0;
    this.#append([encode(meta), ...Array.from(chunks, ([index, digest]) => `${index} ${digest}`)]);
  }

  add(index: number, digest: string): void {
    this.#append([`${index} ${digest}`]);
    this.#begun().chunks.set(index, digest);
  }

  forget(index: number): void {
    this.#append([`${index} -`]);
    this.#begun().chunks.delete(index);
  }

  close(): void {
    this.#file.close();
  }

  #begun(): PartRecord {
    if (!this.#record) throw new Error('nothing was begun');
    return this.#record;
  }

  #append(lines: string[]): void {
    const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(''));
    writeAll(this.#file, bytes, this.#end);
    this.#file.flush();
    this.#end += bytes.length;
  }
}

/** Parses a journal; returns undefined if its first line is incomplete. */
export function readJournal(text: string): PartRecord | undefined {
  const [head, ...lines] = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  const meta = decodeMeta(head ?? '');
  if (!meta) return undefined;
  const chunks = new Map<number, string>();
  for (const line of lines) {
    const [, index, digest] = RECORD.exec(line) ?? [];
    if (index === undefined || digest === undefined) continue;
    if (digest === '-') chunks.delete(Number(index));
    else chunks.set(Number(index), digest);
  }
  return { meta, chunks };
}
