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
  const nodes = [node('Gather', ['rows', 'input_ids'], 'last_hidden_state')];
  return modelOf({ columns, nodes, tensors: [weights] });
}

/**
 * Returns the same model with its weights in one byte each, as the int8 models of hubs: it gathers
 * rows of bytes, and dequantises them by one scale.
 */
export function quantisedModel({ rows, columns, weights, scale }) {
  const dims = join(number(1, rows), number(1, columns));
  const rowsOf = join(dims, number(2, INT8), bytes(8, 'rows'), bytes(9, Buffer.from(weights.buffer)));
  const scaleBytes = Buffer.from(Float32Array.of(scale).buffer);
  const scaleOf = join(number(2, FLOAT), bytes(8, 'scale'), bytes(9, scaleBytes));
  const nodes = [
    node('Gather', ['rows', 'input_ids'], 'gathered'),
    node('DequantizeLinear', ['gathered', 'scale'], 'last_hidden_state'),
  ];
  return modelOf({ columns, nodes, tensors: [rowsOf, scaleOf] });
}

/**
 * Returns the same model with two weights to a byte and scales in F16, as models of the kind q4f16:
 * each block of 32 weights has a scale, given as the bits of an F16.
 */
export function fourBitModel({ rows, columns, weights, scales }) {
  const pair = (_, i) => (weights[2 * i] & 15) | ((weights[2 * i + 1] & 15) << 4);
  const packed = Buffer.from(Array.from({ length: weights.length / 2 }, pair));
  const dims = join(number(1, rows), number(1, columns));
  const rowsOf = join(dims, number(2, INT4), bytes(8, 'rows'), bytes(9, packed));
  const blocks = join(number(1, rows), number(1, columns / 32));
  const scalesOf = join(blocks, number(2, FLOAT16), bytes(8, 'scales'), bytes(9, Buffer.from(scales.buffer)));
  const whole = (name, value) => bytes(5, join(bytes(1, name), number(3, value), number(20, 2)));
  const nodes = [
    node('DequantizeLinear', ['rows', 'scales'], 'halves', whole('axis', 1), whole('block_size', 32)),
    node('Gather', ['halves', 'input_ids'], 'gathered'),
    node('Cast', ['gathered'], 'last_hidden_state', whole('to', FLOAT)),
  ];
  return modelOf({ columns, nodes, tensors: [rowsOf, scalesOf], version: 10, opset: 21 });
}

/** Returns a model of nodes and stored tensors, from `input_ids` to `last_hidden_state`. */
function modelOf({ columns, nodes, tensors, version = 8, opset = 13 }) {
  const graph = join(
    ...nodes.map((node) => bytes(1, node)),
    bytes(2, 'tiny'),
    ...tensors.map((tensor) => bytes(5, tensor)),
    bytes(11, valueInfo('input_ids', INT64, ['batch', 'sequence'])),
    bytes(12, valueInfo('last_hidden_state', FLOAT, ['batch', 'sequence', columns])),
  );
  const operators = join(bytes(1, ''), number(2, opset));
  return join(number(1, version), bytes(7, graph), bytes(8, operators));
}

function node(operator, inputs, output, ...attributes) {
  const names = inputs.map((input) => bytes(1, input));
  return join(...names, bytes(2, output), bytes(4, operator), ...attributes);
}

const FLOAT = 1;
const INT8 = 3;
const FLOAT16 = 10;
const INT4 = 22;
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
