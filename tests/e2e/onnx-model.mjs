/** A tiny ONNX model and pairs of weights for it, written by hand. */

/**
 * Returns a model that computes `rows[input_ids]`, so that its answer shows its weights. They are
 * in the model itself (`weights`), or at `offset` of the file `location`.
 */
export function gatherModel({ rows, columns, ...data }) {
  const dims = join(number(1, rows), number(1, columns));
  const stored = data.weights
    ? bytes(9, Buffer.from(data.weights.buffer))
    : externalData({ ...data, length: rows * columns * 4 });
  const weights = join(dims, number(2, FLOAT), bytes(8, 'rows'), stored);
  const inputs = join(bytes(1, 'rows'), bytes(1, 'input_ids'));
  const node = join(inputs, bytes(2, 'last_hidden_state'), bytes(4, 'Gather'));
  const graph = join(
    bytes(1, node),
    bytes(2, 'tiny'),
    bytes(5, weights),
    bytes(11, valueInfo('input_ids', INT64, ['batch', 'sequence'])),
    bytes(12, valueInfo('last_hidden_state', FLOAT, ['batch', 'sequence', columns])),
  );
  const opset = join(bytes(1, ''), number(2, 13));
  return join(number(1, 8), bytes(7, graph), bytes(8, opset));
}

const FLOAT = 1;
const INT64 = 7;
const EXTERNAL = 1;

/** Returns the fields of a tensor whose weights are in another file. */
function externalData({ location, offset, length }) {
  const entries = Object.entries({ location, offset: String(offset), length: String(length) });
  const fields = entries.map(([key, value]) => bytes(13, join(bytes(1, key), bytes(2, value))));
  return join(...fields, number(14, EXTERNAL));
}

function valueInfo(name, type, shape) {
  const dims = shape.map((dim) => bytes(1, typeof dim === 'number' ? number(1, dim) : bytes(2, dim)));
  const tensor = join(number(1, type), bytes(2, join(...dims)));
  return join(bytes(1, name), bytes(2, bytes(1, tensor)));
}

/** Returns a field of protocol buffers with bytes, a text or a message. */
function bytes(field, content) {
  const body = Buffer.from(content);
  return join(varint(field * 8 + 2), varint(body.length), body);
}

function number(field, value) {
  return join(varint(field * 8), varint(value));
}

function varint(value) {
  const digits = [];
  for (let rest = value; ; rest >>>= 7) {
    if (rest < 128) return Buffer.from([...digits, rest]);
    digits.push((rest & 127) | 128);
  }
}

function join(...parts) {
  return Buffer.concat(parts);
}

/** Returns weights, and the same weights after some training. */
export function weightPair(rows, columns) {
  const base = Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 12.9898) * 0.05);
  const target = base.map((weight, i) => weight + Math.sin(i * 78.233) * 0.0001);
  return { base, target };
}

/** Returns a safetensors file with one tensor, and the offset of the tensor. */
export function safetensors(weights, rows, columns) {
  const entry = { dtype: 'F32', shape: [rows, columns], data_offsets: [0, weights.byteLength] };
  const json = JSON.stringify({ rows: entry });
  const header = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return { file: join(length, header, Buffer.from(weights.buffer)), offset: 8 + header.length };
}
