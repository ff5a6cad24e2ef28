import { bitsOf, changedBits, difference, exponentOf, type FloatFields } from './words.js';

/** Large changes that are kept for each tensor, at most. */
const MOST_LARGE = 64;

/** A difference as a coder sees it: a symbol, and bits that follow it as they are. */
interface Token {
  symbol: number;
  extra: number;
}

/** Differences below this have symbols of their own. */
const EXACT = 4;

/** Returns the token of a difference: small ones are exact, larger ones a power and its rest. */
export function tokenOf(steps: number): Token {
  const size = Math.abs(steps);
  if (size < EXACT) return { symbol: steps, extra: 0 };
  const power = Math.floor(Math.log2(size));
  return { symbol: Math.sign(steps) * (EXACT + power), extra: power };
}

/** Counts of symbols. */
type Counts = Map<number, number>;

/** A weight that moved far. */
interface Large {
  index: number;
  steps: number;
}

/** The differences of a tensor's weights, counted. */
export class Tally {
  count = 0;
  same = 0;
  /** The number of weights by the number of their bits that changed. */
  readonly changed: number[];
  readonly #fields: FloatFields;
  readonly #plain: Counts = new Map();
  readonly #contexts = new Map<number, Counts>();
  #extraBits = 0;
  #large: Large[] = [];

  constructor(fields: FloatFields) {
    this.#fields = fields;
    this.changed = new Array<number>(bitsOf(fields) + 1).fill(0);
  }

  /** Adds weights, of which the first is weight `from` of the tensor. */
  add(base: Uint32Array, target: Uint32Array, from: number): void {
    const length = Math.min(base.length, target.length);
    for (let i = 0; i < length; i++) {
      const [old = 0, now = 0] = [base[i], target[i]];
      this.#addOne(old, now, from + i);
    }
    this.count += length;
  }

  #addOne(old: number, now: number, index: number): void {
    if (old === now) this.same++;
    const bits = changedBits(old, now);
    this.changed[bits] = (this.changed[bits] ?? 0) + 1;
    const steps = difference(old, now, this.#fields);
    const { symbol, extra } = tokenOf(steps);
    increase(this.#plain, symbol);
    const exponent = exponentOf(old, this.#fields);
    const context = this.#contexts.get(exponent) ?? new Map<number, number>();
    this.#contexts.set(exponent, context);
    increase(context, symbol);
    this.#extraBits += extra;
    if (steps !== 0) this.#keepLarge(index, steps);
  }

  #keepLarge(index: number, steps: number): void {
    const smallest = this.#large.at(-1);
    if (this.#large.length === MOST_LARGE && smallest && Math.abs(smallest.steps) >= Math.abs(steps)) return;
    const place = this.#large.findIndex((other) => Math.abs(other.steps) < Math.abs(steps));
    this.#large.splice(place < 0 ? this.#large.length : place, 0, { index, steps });
    this.#large.length = Math.min(this.#large.length, MOST_LARGE);
  }

  /** Returns the weights that moved farthest, the farthest first. */
  get large(): readonly Large[] {
    return this.#large;
  }

  /** The bits of an ideal coder that knows the frequencies of all differences, for each weight. */
  get plainBits(): number {
    return this.count === 0 ? 0 : (entropy(this.#plain) + this.#extraBits) / this.count;
  }

  /** The same for a coder that has frequencies for each exponent of the base. */
  get contextBits(): number {
    if (this.count === 0) return 0;
    const bits = [...this.#contexts.values()].reduce((sum, counts) => sum + entropy(counts), 0);
    return (bits + this.#extraBits) / this.count;
  }

  /** Returns the bits of one weight's difference, by the frequencies in its context. */
  cost(old: number, now: number): number {
    const { symbol, extra } = tokenOf(difference(old, now, this.#fields));
    const counts = this.#contexts.get(exponentOf(old, this.#fields)) ?? new Map<number, number>();
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    // A symbol that was not among the counted weights costs as much as one of its own.
    return Math.log2((total + 1) / (counts.get(symbol) ?? 1)) + extra;
  }

  /** Returns the counts of the differences' symbols, in order. */
  get symbols(): [symbol: number, count: number][] {
    return [...this.#plain].sort(([a], [b]) => a - b);
  }
}

function increase(counts: Counts, symbol: number): void {
  counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
}

/** Returns the bits that an ideal coder needs for all that was counted. */
function entropy(counts: Counts): number {
  let total = 0;
  let bits = 0;
  for (const count of counts.values()) {
    total += count;
    bits -= count * Math.log2(count);
  }
  return total === 0 ? 0 : bits + total * Math.log2(total);
}

/** Returns the name of a symbol: the steps, or the first of its steps. */
export function symbolName(symbol: number): string {
  const size = Math.abs(symbol);
  const sign = symbol < 0 ? '−' : '';
  if (size < EXACT) return `${sign}${size}`;
  const power = size - EXACT;
  const steps = power < 10 ? String(2 ** power) : `${2 ** (power - 10)}k`;
  return `${sign}${steps}…`;
}
