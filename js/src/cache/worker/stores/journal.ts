import { decodeMeta, encode, type PartMeta, type PartRecord } from '../records.js';
import { type AccessHandle, writeAll } from './access.js';

const RECORD = /^(\d+) ([0-9a-f]{64}|-)$/;

/**
 * The record of a part as a file that only grows: a line of JSON, and one for every chunk that was stored or
 * forgotten. What a crash leaves of the last line is not taken for a record.
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
    // Appending behind half a line would spoil the next one.
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

/** The record that a journal holds; none if its head did not get written. */
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
