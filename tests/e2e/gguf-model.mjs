/** A GGUF model of the llama architecture, the smallest that llama.cpp accepts, written by hand. */

const ALIGNMENT = 32;
const BYTES = Array.from({ length: 256 }, (_, byte) => {
  const digits = byte.toString(16).toUpperCase();
  return `<0x${digits.padStart(2, '0')}>`;
});
const TOKENS = ['<unk>', '<s>', '</s>', ...BYTES];
/** The numbers of llama.cpp for the kinds of tokens: unknown, control, byte. */
const KINDS = TOKENS.map((_, id) => (id === 0 ? 2 : id < 3 ? 3 : 6));

const U32 = 4;
const I32 = 5;
const F32 = 6;
const STRING = 8;
const ARRAY = 9;

const metadataOf = ({ width, hidden }) => [
  ['general.architecture', STRING, 'llama'],
  ['llama.context_length', U32, 64],
  ['llama.embedding_length', U32, width],
  ['llama.block_count', U32, 1],
  ['llama.feed_forward_length', U32, hidden],
  ['llama.attention.head_count', U32, 2],
  ['llama.rope.dimension_count', U32, width / 2],
  ['llama.attention.layer_norm_rms_epsilon', F32, 1e-5],
  ['tokenizer.ggml.model', STRING, 'llama'],
  ['tokenizer.ggml.tokens', ARRAY, [STRING, TOKENS]],
  ['tokenizer.ggml.scores', ARRAY, [F32, TOKENS.map(() => 0)]],
  ['tokenizer.ggml.token_type', ARRAY, [I32, KINDS]],
  ['tokenizer.ggml.bos_token_id', U32, 1],
  ['tokenizer.ggml.eos_token_id', U32, 2],
];

/** The names and shapes in the order of GGUF, which puts the shortest dimension first. */
const tensorsOf = ({ width, hidden }) => [
  ['token_embd.weight', [width, TOKENS.length]],
  ['blk.0.attn_norm.weight', [width]],
  ['blk.0.attn_q.weight', [width, width]],
  ['blk.0.attn_k.weight', [width, width]],
  ['blk.0.attn_v.weight', [width, width]],
  ['blk.0.attn_output.weight', [width, width]],
  ['blk.0.ffn_norm.weight', [width]],
  ['blk.0.ffn_gate.weight', [width, hidden]],
  ['blk.0.ffn_up.weight', [width, hidden]],
  ['blk.0.ffn_down.weight', [hidden, width]],
  ['output_norm.weight', [width]],
  ['output.weight', [width, TOKENS.length]],
];

/** The numbers of GGUF for dtypes. */
const PLAIN = 0;
const Q4_K = 12;
const Q6_K = 14;

/** Returns a model in F32; `training` is the distance that its weights have moved. */
export function ggufModel(training = 0) {
  const stored = (index, shape) => ({ type: PLAIN, bytes: weightsOf(index, shape, training) });
  return modelOf({ width: 32, hidden: 64 }, stored);
}

/**
 * Returns a model in Q4_K_M, which stores some matrices in Q6_K. `training` is the share of the
 * blocks that have changed.
 */
export function quantisedModel(training = 0) {
  const stored = (index, shape, name) => {
    if (shape.length === 1) return { type: PLAIN, bytes: weightsOf(index, shape, 0) };
    const type = /output\.weight|attn_v|ffn_down/.test(name) ? Q6_K : Q4_K;
    const count = (shape[0] * shape[1]) / 256;
    const blocks = Array.from({ length: count }, (_, block) => blockOf(type, index * 7919 + block, training));
    return { type, bytes: Buffer.concat(blocks) };
  };
  return modelOf({ width: 256, hidden: 512 }, stored);
}

/** Returns a block of 256 weights: small scales, and quants that training moves in some blocks. */
function blockOf(type, seed, training) {
  const noise = (i) => Math.abs(Math.trunc(Math.sin(seed * 12.9898 + i * 78.233) * 43_758));
  const moved = (noise(1000) % 100) / 100 < training ? 1 : 0;
  const quants = (length) =>
    Buffer.from({ length, ...Array.from({ length }, (_, i) => noise(i + moved) & 0xff) });
  const scale = Buffer.from([0x00, 0x10 + (noise(2000) % 4)]);
  if (type === Q4_K) return Buffer.concat([scale, scale, quants(12), quants(128)]);
  return Buffer.concat([quants(128), quants(64), Buffer.alloc(16, 3), scale]);
}

/** Returns a model whose tensors are stored as `stored` returns them: the dtype and the bytes. */
function modelOf(size, stored) {
  const [metadata, tensors] = [metadataOf(size), tensorsOf(size)];
  const infos = [];
  const data = [];
  let offset = 0;
  for (const [index, [name, shape]] of tensors.entries()) {
    const { type, bytes } = stored(index, shape, name);
    infos.push(string(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset));
    const weights = padded(bytes, offset);
    data.push(weights);
    offset += weights.length;
  }
  const head = Buffer.concat([
    ...[Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(metadata.length)],
    ...metadata.flatMap(([key, type, value]) => [string(key), u32(type), encoded(type, value)]),
    ...infos,
  ]);
  return Buffer.concat([padded(head, 0), ...data]);
}

function weightsOf(index, shape, training) {
  const count = shape.reduce((a, b) => a * b, 1);
  const middle = shape.length === 1 ? 1 : 0;
  const weight = (_, i) =>
    middle + Math.sin((i + index * 7919) * 12.9898) * 0.3 + Math.sin(i * 78.233) * training;
  return Buffer.from(Float32Array.from({ length: count }, weight).buffer);
}

function encoded(type, value) {
  if (type === STRING) return string(value);
  if (type === F32) return Buffer.from(Float32Array.of(value).buffer);
  if (type !== ARRAY) return u32(value);
  const [element, values] = value;
  return Buffer.concat([u32(element), u64(values.length), ...values.map((value) => encoded(element, value))]);
}

function padded(bytes, offset) {
  const end = Math.ceil((offset + bytes.length) / ALIGNMENT) * ALIGNMENT;
  return Buffer.concat([bytes, Buffer.alloc(end - offset - bytes.length)]);
}

function string(text) {
  return Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
}

function u32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
