import type { Region } from './layout.js';

/** The beginning of a file, and how much of it has been read. Reading past its end is a `RangeError`. */
export interface Cursor {
  view: DataView<ArrayBuffer>;
  at: number;
}

/** Alignment of tensors where the metadata does not say. */
const ALIGNMENT = 32;
const ALIGNMENT_KEY = 'general.alignment';

/** ggml's types that the core takes as numbers, each with the elements and the bytes of a block. */
const DTYPES: Record<number, [name: string, elements: number, bytes: number]> = {
  0: ['F32', 1, 4],
  1: ['F16', 1, 2],
  8: ['Q8_0', 32, 34],
  24: ['I8', 1, 1],
  25: ['I16', 1, 2],
  26: ['I32', 1, 4],
  27: ['I64', 1, 8],
  28: ['F64', 1, 8],
  30: ['BF16', 1, 2],
};

/** Bytes of metadata values of fixed length, by their types. */
const VALUE_BYTES: Record<number, number> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const UINT32 = 4;
const TEXT = 8;
const ARRAY = 9;

/** A tensor as the header describes it. */
interface Info {
  name: string;
  shape: number[];
  type: number;
  offset: number;
}

/**
 * The tensors of a GGUF file, as the core sees them: of types that are numbers by their shapes, all others as bytes up to
 * the next tensor.
 */
export function regionsOfGguf(cursor: Cursor, size: number): Region[] {
  cursor.at = 8;
  const [tensors, entries] = [u64(cursor), u64(cursor)];
  let alignment = ALIGNMENT;
  for (let i = 0; i < entries; i++) {
    const key = text(cursor);
    const type = u32(cursor);
    if (key === ALIGNMENT_KEY && type === UINT32) alignment = u32(cursor);
    else skip(cursor, type);
  }
  const infos = Array.from({ length: tensors }, () => info(cursor)).sort((a, b) => a.offset - b.offset);
  const data = Math.min(Math.ceil(cursor.at / alignment) * alignment, size);
  return infos.map((one, index) => region(one, data, (infos[index + 1]?.offset ?? size - data) - one.offset));
}

function region({ name, shape, type, offset }: Info, data: number, room: number): Region {
  const [dtype, elements, bytes] = DTYPES[type] ?? [];
  const place = { name, offset: data + offset };
  const whole = elements === 1 || (elements !== undefined && (shape.at(-1) ?? 1) % elements === 0);
  if (dtype === undefined || bytes === undefined || elements === undefined || !whole) {
    return { ...place, dtype: 'U8', shape: [room], length: room };
  }
  const count = shape.reduce((product, extent) => product * extent, 1);
  return { ...place, dtype, shape, length: (count / elements) * bytes };
}

function info(cursor: Cursor): Info {
  const name = text(cursor);
  const rank = u32(cursor);
  // The innermost extent comes first.
  const shape = Array.from({ length: rank }, () => u64(cursor)).reverse();
  return { name, shape, type: u32(cursor), offset: u64(cursor) };
}

function skip(cursor: Cursor, type: number): void {
  if (type === TEXT) text(cursor);
  else if (type === ARRAY) {
    const of = u32(cursor);
    for (let left = u64(cursor); left > 0; left--) skip(cursor, of);
  } else {
    const bytes = VALUE_BYTES[type];
    if (bytes === undefined) throw new TypeError(`no metadata value has the type ${type}`);
    take(cursor, bytes);
  }
}

function text(cursor: Cursor): string {
  const length = u64(cursor);
  const start = take(cursor, length);
  return new TextDecoder().decode(new Uint8Array(cursor.view.buffer, start, length));
}

function u32(cursor: Cursor): number {
  return cursor.view.getUint32(take(cursor, 4), true);
}

function u64(cursor: Cursor): number {
  return Number(cursor.view.getBigUint64(take(cursor, 8), true));
}

function take(cursor: Cursor, length: number): number {
  const start = cursor.at;
  if (start + length > cursor.view.byteLength) throw new RangeError('the header goes on');
  cursor.at += length;
  return start;
}
