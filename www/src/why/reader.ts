import { fetchBytes } from '../own/remote.js';
import { type Files, fieldsOfPair, type Part, type TensorPair } from './pairs.js';
import { wordsOf } from './words.js';

/** Bytes that are read at once, at least: many small tensors lie side by side. */
const AHEAD = 1 << 22;
/** The same for a file at an address, of which every byte takes time. */
const AHEAD_REMOTE = 1 << 17;

/** Reads the weights of pairs from their files, some ahead of what is asked for. */
export class PairReader {
  readonly #bases: AheadReader[];
  readonly #targets: AheadReader[];

  constructor({ bases, targets }: Files, ahead = AHEAD) {
    const open = (part: Part) =>
      new AheadReader(part, part instanceof Blob ? ahead : Math.min(ahead, AHEAD_REMOTE));
    this.#bases = bases.map(open);
    this.#targets = targets.map(open);
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
  readonly #part: Part;
  readonly #ahead: number;
  #start = 0;
  #bytes = new Uint8Array();

  constructor(part: Part, ahead: number) {
    this.#part = part;
    this.#ahead = ahead;
  }

  async read(from: number, end: number): Promise<Uint8Array> {
    if (from < this.#start || end > this.#start + this.#bytes.length) {
      const bytes = await bytesOf(this.#part, from, Math.max(end, from + this.#ahead));
      [this.#start, this.#bytes] = [from, bytes];
      return bytes.subarray(0, end - from);
    }
    return this.#bytes.subarray(from - this.#start, end - this.#start);
  }
}

async function bytesOf(part: Part, from: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  if (!(part instanceof Blob)) return fetchBytes(part, from, end);
  return new Uint8Array(await part.slice(from, end).arrayBuffer());
}
