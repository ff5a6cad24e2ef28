/** A GGUF model of the llama architecture, the smallest that llama.cpp accepts, written by hand. */

const WIDTH = 32;
const HIDDEN = 64;
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

const METADATA = [
  ['general.architecture', STRING, 'llama'],
  ['llama.context_length', U32, 64],
  ['llama.embedding_length', U32, WIDTH],
  ['llama.block_count', U32, 1],
  ['llama.feed_forward_length', U32, HIDDEN],
  ['llama.attention.head_count', U32, 2],
  ['llama.rope.dimension_count', U32, WIDTH / 2],
  ['llama.attention.layer_norm_rms_epsilon', F32, 1e-5],
  ['tokenizer.ggml.model', STRING, 'llama'],
  ['tokenizer.ggml.tokens', ARRAY, [STRING, TOKENS]],
  ['tokenizer.ggml.scores', ARRAY, [F32, TOKENS.map(() => 0)]],
  ['tokenizer.ggml.token_type', ARRAY, [I32, KINDS]],
  ['tokenizer.ggml.bos_token_id', U32, 1],
  ['tokenizer.ggml.eos_token_id', U32, 2],
];

/** The names and shapes in the order of GGUF, which puts the shortest dimension first. */
const TENSORS = [
  ['token_embd.weight', [WIDTH, TOKENS.length]],
  ['blk.0.attn_norm.weight', [WIDTH]],
  ['blk.0.attn_q.weight', [WIDTH, WIDTH]],
  ['blk.0.attn_k.weight', [WIDTH, WIDTH]],
  ['blk.0.attn_v.weight', [WIDTH, WIDTH]],
  ['blk.0.attn_output.weight', [WIDTH, WIDTH]],
  ['blk.0.ffn_norm.weight', [WIDTH]],
  ['blk.0.ffn_gate.weight', [WIDTH, HIDDEN]],
  ['blk.0.ffn_up.weight', [WIDTH, HIDDEN]],
  ['blk.0.ffn_down.weight', [HIDDEN, WIDTH]],
  ['output_norm.weight', [WIDTH]],
  ['output.weight', [WIDTH, TOKENS.length]],
];

/** Returns the model; `training` is the distance that its weights have moved. */
export function ggufModel(training = 0) {
  const infos = [];
  const data = [];
  let offset = 0;
  for (const [index, [name, shape]] of TENSORS.entries()) {
    infos.push(string(name), u32(shape.length), ...shape.map(u64), u32(0), u64(offset));
    const weights = padded(weightsOf(index, shape, training), offset);
    data.push(weights);
    offset += weights.length;
  }
  const metadata = METADATA.flatMap(([key, type, value]) => [string(key), u32(type), encoded(type, value)]);
  const head = Buffer.concat([
    ...[Buffer.from('GGUF'), u32(3), u64(TENSORS.length), u64(METADATA.length)],
    ...metadata,
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
