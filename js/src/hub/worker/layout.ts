import { type Cursor, regionsOfGguf } from './gguf.js';

/** A tensor's place in a file. */
export interface Region {
  name: string;
  dtype: string;
  shape: number[];
  /** Bytes from the start of the file. */
  offset: number;
  /** Bytes. */
  length: number;
}

/** The longest header of each kind, as the core has it. */
const MAX_SAFETENSORS = 100_000_000;
const MAX_GGUF = 256 << 20;
const FIRST_READ = 1 << 16;
const MAGIC = 'GGUF';

/**
 * The tensors of a model, in the order of their places. A file that is no sound model has none: what it is then, is for
 * the core to say.
 */
export async function regionsOf(file: Blob): Promise<Region[]> {
  const head = await bytesOf(file, 0, 8);
  if (head.byteLength < 8) return [];
  const magic = new TextDecoder('latin1').decode(new Uint8Array(head.buffer, 0, 4));
  const regions = magic === MAGIC ? await gguf(file) : await safetensors(file, head);
  const sorted = regions.sort((a, b) => a.offset - b.offset || a.length - b.length);
  return isSound(sorted, file.size) ? sorted : [];
}

async function safetensors(file: Blob, head: DataView<ArrayBuffer>): Promise<Region[]> {
  const length = Number(head.getBigUint64(0, true));
  if (length > Math.min(MAX_SAFETENSORS, file.size - 8)) return [];
  const text = await file.slice(8, 8 + length).text();
  try {
    const { __metadata__, ...tensors } = JSON.parse(text) as Record<string, Described>;
    return Object.entries(tensors).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [begin, end],
        },
      ]) => ({
        ...{ name, dtype, shape },
        offset: 8 + length + begin,
        length: end - begin,
      }),
    );
  } catch {
    return [];
  }
}

/** A tensor in a safetensors header. */
interface Described {
  dtype: string;
  shape: number[];
  data_offsets: [begin: number, end: number];
}

/** Reads ever longer beginnings, since a GGUF header does not tell its length. */
async function gguf(file: Blob): Promise<Region[]> {
  for (let length = FIRST_READ; ; length *= 2) {
    const cursor: Cursor = { view: await bytesOf(file, 0, length), at: 0 };
    try {
      return regionsOfGguf(cursor, file.size);
    } catch (error) {
      const tooShort = error instanceof RangeError && length < Math.min(file.size, MAX_GGUF);
      if (!tooShort) return [];
    }
  }
}

async function bytesOf(file: Blob, start: number, end: number): Promise<DataView<ArrayBuffer>> {
  return new DataView(await file.slice(start, end).arrayBuffer());
}

/** Whether every tensor lies in the file, and behind the one before it. */
function isSound(regions: Region[], size: number): boolean {
  let end = 0;
  return regions.every(({ offset, length }) => {
    const sound = Number.isSafeInteger(offset) && length >= 0 && offset >= end && offset + length <= size;
    end = offset + length;
    return sound;
  });
}
