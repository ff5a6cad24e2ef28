/** The fields of a float of some dtype, in bits. */
export interface FloatFields {
  bytes: number;
  exponent: number;
  mantissa: number;
}

const FLOATS: Record<string, FloatFields> = {
  F32: { bytes: 4, exponent: 8, mantissa: 23 },
  BF16: { bytes: 2, exponent: 8, mantissa: 7 },
  F16: { bytes: 2, exponent: 5, mantissa: 10 },
  F8_E5M2: { bytes: 1, exponent: 5, mantissa: 2 },
  F8_E4M3: { bytes: 1, exponent: 4, mantissa: 3 },
};

/** Returns the fields of a dtype; undefined for one whose elements are no plain floats. */
export function fieldsOf(dtype: string): FloatFields | undefined {
  return Object.hasOwn(FLOATS, dtype) ? FLOATS[dtype] : undefined;
}

export function bitsOf({ bytes }: FloatFields): number {
  return bytes * 8;
}

/** Returns the little-endian words of some bytes. */
export function wordsOf(bytes: Uint8Array, { bytes: size }: FloatFields): Uint32Array {
  const words = new Uint32Array(Math.floor(bytes.length / size));
  for (let i = 0; i < words.length; i++) {
    let word = 0;
    for (let k = size - 1; k >= 0; k--) word = word * 256 + (bytes[i * size + k] ?? 0);
    words[i] = word;
  }
  return words;
}

/** Returns the place of a word in the order of the numbers that words stand for; zeros are 0. */
export function ordered(word: number, fields: FloatFields): number {
  const sign = 2 ** (bitsOf(fields) - 1);
  return word >= sign ? sign - word : word;
}

/** Returns the difference of two words in steps of their precision. */
export function difference(base: number, target: number, fields: FloatFields): number {
  return ordered(target, fields) - ordered(base, fields);
}

/** Returns the exponent field of a word. */
export function exponentOf(word: number, { exponent, mantissa }: FloatFields): number {
  return Math.floor(word / 2 ** mantissa) % 2 ** exponent;
}

/** Returns the number of bits in which two words differ. */
export function changedBits(base: number, target: number): number {
  let rest = (base ^ target) >>> 0;
  let count = 0;
  for (; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/** Returns the number that a word stands for. */
export function numberOf(word: number, fields: FloatFields): number {
  const { exponent, mantissa } = fields;
  const sign = word >= 2 ** (bitsOf(fields) - 1) ? -1 : 1;
  const power = exponentOf(word, fields);
  const fraction = (word % 2 ** mantissa) / 2 ** mantissa;
  const bias = 2 ** (exponent - 1) - 1;
  // F8_E4M3 has no infinities; its one NaN has all bits set.
  const top = power === 2 ** exponent - 1 && (exponent !== 4 || word % 128 === 127);
  if (top) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return power === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (power - bias);
}

/** Returns the bits of a word from the highest, each with its field. */
export function bitsInFields(word: number, fields: FloatFields): { bit: string; field: string }[] {
  const text = word.toString(2).padStart(bitsOf(fields), '0');
  const field = (i: number) => (i === 0 ? 'sign' : i <= fields.exponent ? 'exponent' : 'mantissa');
  return [...text].map((bit, i) => ({ bit, field: field(i) }));
}
