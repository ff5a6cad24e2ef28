import { createHash } from 'node:crypto';

/** wasm-bindgen's names for what a wasm file imports, which make up a tenth of the worker script. */
const LONG_NAME = /\b__w(?:bg|bindgen)_\w+(?=: function)/g;
const IMPORT_SECTION = 2;

/** The same short name for a long one in every file. */
function shortName(long) {
  const digest = createHash('sha256').update(long).digest();
  return Array.from(digest.subarray(0, 3), (byte) => String.fromCharCode(97 + (byte % 26))).join('');
}

/** Glue for wasm files whose imports have short names. */
export function shortenGlue(glue) {
  const names = glue.match(LONG_NAME) ?? [];
  if (new Set(names.map(shortName)).size !== names.length) {
    throw new Error('two imports have got the same short name: names have to become longer');
  }
  return glue.replace(LONG_NAME, shortName);
}

/** A wasm file whose imports have short names. */
export function shortenWasm(wasm) {
  const parts = [wasm.subarray(0, 8)];
  const reader = new Reader(wasm, 8);
  while (reader.at < wasm.length) {
    const start = reader.at;
    const id = reader.byte();
    const end = reader.number() + reader.at;
    if (id !== IMPORT_SECTION) parts.push(wasm.subarray(start, end));
    else {
      const body = shortenImports(reader);
      parts.push(Buffer.from([id]), number(body.length), body);
    }
    reader.at = end;
  }
  return Buffer.concat(parts);
}

function shortenImports(reader) {
  const count = reader.number();
  const parts = [number(count)];
  for (let i = 0; i < count; i++) {
    const module = reader.bytes();
    const name = reader.bytes().toString();
    const start = reader.at;
    reader.skipKind();
    const short = Buffer.from(name.startsWith('__wb') ? shortName(name) : name);
    parts.push(number(module.length), module, number(short.length), short, reader.since(start));
  }
  return Buffer.concat(parts);
}

/** Reads a wasm file as far as its imports take. */
class Reader {
  #wasm;

  constructor(wasm, at) {
    this.#wasm = wasm;
    this.at = at;
  }

  byte() {
    return this.#wasm[this.at++];
  }

  number() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  }

  bytes() {
    const length = this.number();
    this.at += length;
    return this.since(this.at - length);
  }

  since(start) {
    return this.#wasm.subarray(start, this.at);
  }

  /** What is imported: a function by its type, or a memory by its limits. */
  skipKind() {
    const kind = this.byte();
    if (kind === 0) return this.number();
    if (kind !== 2) throw new Error(`an import of kind ${kind} is new here`);
    const limits = this.byte();
    this.number();
    return limits & 1 && this.number();
  }
}

function number(value) {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 0x80);
  }
}
