import { type Files, fieldsOfPair, type TensorPair } from './pairs.js';
import { wordsOf } from './words.js';

/** Bytes that are read at once, at least: many small tensors lie side by side. */
const AHEAD = 1 << 22;

/** Reads the weights of pairs from their files, some ahead of what is asked for. */
export class PairReader {
  readonly #bases: AheadReader[];
  readonly #targets: AheadReader[];

  constructor({ bases, targets }: Files, ahead = AHEAD) {
    this.#bases = bases.map((blob) => new AheadReader(blob, ahead));
    this.#targets = targets.map((blob) => new AheadReader(blob, ahead));
  }

  /** Returns up to `count` words of the base and of the fine-tune from word `from` on. */
  async words(pair: TensorPair, from: number, count: number): Promise<[Uint32Array, Uint32Array]> {
    const fields = fieldsOfPair(pair);
    const [base, target] = await this.bytes(pair, from * fields.bytes, (from + count) * fields.bytes);
    return [wordsOf(base, fields), wordsOf(target, fields)];
  }

  /** Returns the bytes of the base and of the fine-tune from `from` to before `end`. */
  async bytes(pair: TensorPair, from: number, end: number): Promise<[Uint8Array, Uint8Array]> {
    const last = Math.min(end, pair.length);
    const read = (reader: AheadReader | undefined, offset: number) =>
      reader?.read(offset + from, offset + last) ?? Promise.resolve(new Uint8Array());
    return Promise.all([
      read(this.#bases[pair.baseFile], pair.baseOffset),
      read(this.#targets[pair.targetFile], pair.targetOffset),
    ]);
  }
}

/** Reads a file and keeps the bytes behind the last ones that were asked for. */
class AheadReader {
  readonly #blob: Blob;
  readonly #ahead: number;
  #start = 0;
  #bytes = new Uint8Array();

  constructor(blob: Blob, ahead: number) {
    this.#blob = blob;
    this.#ahead = ahead;
  }

  async read(from: number, end: number): Promise<Uint8Array> {
    if (from < this.#start || end > this.#start + this.#bytes.length) {
      const slice = this.#blob.slice(from, Math.max(end, from + this.#ahead));
      const bytes = new Uint8Array(await slice.arrayBuffer());
      [this.#start, this.#bytes] = [from, bytes];
      return bytes.subarray(0, end - from);
    }
    return this.#bytes.subarray(from - this.#start, end - this.#start);
  }
}
