import type { TensorPair } from './pairs.js';

/** The measurements of a tensor. */
export interface Summary {
  name: string;
  dtype: string;
  /** Bytes of the tensor. */
  length: number;
  /** Weights that were counted: all, or some at equal distances. */
  counted: number;
  same: number;
  /** The number of counted weights by the number of their changed bits. */
  changed: number[];
  /** The number of counted weights by the symbol of their difference. */
  symbols: [symbol: number, count: number][];
  /** Bits of a weight for an ideal coder, without contexts and with them. */
  plainBits: number;
  contextBits: number;
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

/** The calls of the worker: arguments and results. */
export interface Calls {
  tally: { args: { pairs: TensorPair[] }; result: Summary[] };
  weight: { args: { tensor: number; index: number }; result: Weight };
  /** Looks for a changed weight behind `from`, or before it; -1 if there is none near. */
  changed: { args: { tensor: number; from: number; step: 1 | -1 }; result: number };
  sizes: { args: { targets: Blob[] }; result: OtherSizes };
}

/** A call on its way to the worker. */
export type Request = {
  [K in keyof Calls]: { id: number; call: K; args: Calls[K]['args'] };
}[keyof Calls];

/** The answer of the worker. */
export type Answer = { id: number; result: unknown } | { id: number; error: string };
