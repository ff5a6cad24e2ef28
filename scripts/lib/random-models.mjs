/** Models of any size with random BF16 weights, and fine-tunes of them. */
const ROWS = 1024;
const COLUMNS = 4096;
const TENSOR_BYTES = ROWS * COLUMNS * 2;

/** The length in bytes of a model with `tensors` tensors. */
export function modelBytes(tensors) {
  return header(tensors).length + tensors * TENSOR_BYTES;
}

/** The number of tensors of a model of about `bytes` bytes. */
export function tensorsFor(bytes) {
  return Math.max(1, Math.floor(bytes / TENSOR_BYTES));
}

/** Yields the bytes of a base and of its fine-tune in parts of equal length: `{ base, target }`. */
export function* modelPair(tensors) {
  const head = header(tensors);
  yield { base: head, target: head };
  const weights = pool();
  for (let tensor = 0; tensor < tensors; tensor++) {
    // Each tensor is a rotation of the same weights, which is fast to make.
    const start = (tensor * 7919) % (ROWS * COLUMNS);
    yield { base: rotated(weights.base, start), target: rotated(weights.target, start) };
  }
}

function header(tensors) {
  const entries = Array.from({ length: tensors }, (_, i) => [
    `layers.${i}.weight`,
    { dtype: 'BF16', shape: [ROWS, COLUMNS], data_offsets: [i * TENSOR_BYTES, (i + 1) * TENSOR_BYTES] },
  ]);
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded]);
}

/**
 * Weights roughly like those of a trained model: a bell curve, and a fine-tune that moves all by
 * similar amounts.
 */
function pool() {
  const random = generator();
  const bell = () => random() + random() + random() + random() - 2;
  const base = new Float32Array(ROWS * COLUMNS).map(() => bell() * 0.04);
  const target = base.map((weight) => bf16(weight) + bell() * 0.0004);
  return { base: bf16s(base), target: bf16s(target) };
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

function bf16(value) {
  float[0] = value;
  bits[0] = (bits[0] + 0x8000) & 0xffff0000;
  return float[0];
}

function bf16s(values) {
  const words = new Uint32Array(values.map(bf16).buffer);
  return Buffer.from(Uint16Array.from(words, (word) => word >>> 16).buffer);
}

function rotated(bytes, start) {
  return Buffer.concat([bytes.subarray(start * 2), bytes.subarray(0, start * 2)]);
}

/** Returns a generator of random numbers from 0 to 1, the same on every machine. */
function generator() {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
