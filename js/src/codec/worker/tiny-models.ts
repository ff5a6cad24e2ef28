/** Returns a tiny base model and a fine-tune of it, for the self-test. */
export function tinyModels(): { base: Uint8Array<ArrayBuffer>; target: Uint8Array<ArrayBuffer> } {
  const random = generator();
  const base = Array.from({ length: LENGTH }, () => weight(random()));
  // Most weights stay and some change a little, so that every part of the codec is used.
  const target = base.map((bits) => (random() % 4 === 0 ? bits + (random() % 7) - 3 : bits));
  return { base: safetensors(base), target: safetensors(target) };
}

const LENGTH = 256;

/** Returns a BF16 of either sign, with an exponent in the range of typical weights. */
function weight(random: number): number {
  return ((random & 1) << 15) | (((random >> 1) % 1024) + 0x3c00);
}

/** Returns a generator of random numbers, the same on every machine. */
function generator(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 12;
  };
}

/** Returns a file with one tensor. */
function safetensors(words: number[]): Uint8Array<ArrayBuffer> {
  const tensor = { dtype: 'BF16', shape: [LENGTH / 32, 32], data_offsets: [0, LENGTH * 2] };
  const header = new TextEncoder().encode(JSON.stringify({ w: tensor }));
  const file = new Uint8Array(8 + header.length + words.length * 2);
  // The length has eight bytes; its value fits in the first.
  file[0] = header.length;
  file.set(header, 8);
  file.set(new Uint8Array(Uint16Array.from(words).buffer), 8 + header.length);
  return file;
}
