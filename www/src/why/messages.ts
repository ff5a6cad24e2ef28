import type { Files, TensorPair } from './pairs.js';
import type { Totals } from './totals.js';

/** The counts of a tensor. */
export interface Detail {
  /** Weights that were counted: all, or some at equal distances. */
  counted: number;
  /** The number of counted weights by the number of their changed bits. */
  changed: number[];
  /** The number of counted weights by the symbol of their difference. */
  symbols: [symbol: number, count: number][];
  /** Weights that moved far, the farthest first. */
  large: { index: number; steps: number }[];
}

/** One weight of a tensor. */
export interface Weight {
  base: number;
  target: number;
  /** Bits of its difference, by the frequencies in its context. */
  bits: number;
}

/** Sizes of a model that other ways of compressing it reach, in bytes. */
export interface OtherSizes {
  zstd: number;
  xorZstd: number;
}

/** The counts of a model. */
export interface Overview {
  totals: Totals;
  /** The number of the tensor to open first: of the larger ones, that which changed most. */
  first: number;
}

/** The calls of the worker: arguments and results. */
export interface Calls {
  tally: { args: { pairs: TensorPair[]; files: Files }; result: Overview };
  detail: { args: { tensor: number }; result: Detail };
  weight: { args: { tensor: number; index: number }; result: Weight };
  /** Looks for a changed weight behind `from`; -1 if there is none near. */
  changed: { args: { tensor: number; from: number }; result: number };
  sizes: { args: object; result: OtherSizes };
}

/** A call on its way to the worker. */
export type Request = {
  [K in keyof Calls]: { id: number; call: K; args: Calls[K]['args'] };
}[keyof Calls];

/** The answer of the worker. */
export type Answer = { id: number; result: unknown } | { id: number; error: string };
