/** Counts differences and measures sizes, so that the page never blocks. */
import type { Answer, Calls, Request, Summary } from './messages.js';
import { Tally } from './model.js';
import type { TensorPair } from './pairs.js';
import { type FloatFields, wordsOf } from './words.js';

/** Weights that are counted in all, at most. */
const MOST_WEIGHTS = 1 << 24;
/** Weights that are read at once. */
const RUN = 1 << 14;
/** Weights in which a changed one is looked for. */
const SEARCHED = 1 << 22;

let pairs: TensorPair[] = [];
let tallies: Tally[] = [];

const handlers: { [K in keyof Calls]: (args: Calls[K]['args']) => Promise<Calls[K]['result']> } = {
  tally,
  weight,
  changed,
  sizes: async ({ targets }) => {
    const { otherSizes } = await import('./other-sizes.js');
    return otherSizes(pairs, targets);
  },
};

self.addEventListener('message', async ({ data }: MessageEvent<Request>) => {
  const { id, call, args } = data;
  let answer: Answer;
  try {
    answer = { id, result: await (handlers[call] as (args: unknown) => Promise<unknown>)(args) };
  } catch (error) {
    answer = { id, error: error instanceof Error ? error.message : String(error) };
  }
  self.postMessage(answer);
});

async function tally(args: Calls['tally']['args']): Promise<Summary[]> {
  pairs = args.pairs;
  tallies = [];
  const share = Math.max(RUN, Math.floor(MOST_WEIGHTS / Math.max(1, pairs.length)));
  const summaries: Summary[] = [];
  for (const pair of pairs) {
    const own = await count(pair, share);
    tallies.push(own);
    summaries.push(summary(pair, own));
  }
  return summaries;
}

/** Counts a tensor's weights: all, or runs at equal distances of about `most` weights together. */
async function count({ fields, length, base, target }: TensorPair, most: number): Promise<Tally> {
  const own = new Tally(fields);
  const total = Math.floor(length / fields.bytes);
  const step = total <= most ? RUN : Math.ceil(total / Math.ceil(most / RUN));
  for (let from = 0; from < total; from += step) {
    const [old, now] = await Promise.all([base, target].map((blob) => read(blob, fields, from, RUN)));
    if (old && now) own.add(old, now, from);
  }
  return own;
}

async function read(blob: Blob, fields: FloatFields, from: number, count: number): Promise<Uint32Array> {
  const slice = blob.slice(from * fields.bytes, (from + count) * fields.bytes);
  return wordsOf(new Uint8Array(await slice.arrayBuffer()), fields);
}

function summary({ name, dtype, length }: TensorPair, own: Tally): Summary {
  const { count: counted, same, changed, symbols, plainBits, contextBits } = own;
  const large = [...own.large];
  return { name, dtype, length, counted, same, changed, symbols, plainBits, contextBits, large };
}

async function weight({ tensor, index }: Calls['weight']['args']): Promise<Calls['weight']['result']> {
  const [pair, own] = [pairs[tensor], tallies[tensor]];
  if (!pair || !own) throw new RangeError('there is no such tensor');
  const both = [pair.base, pair.target].map((blob) => read(blob, pair.fields, index, 1));
  const [base = 0, target = 0] = (await Promise.all(both)).map(([word = 0]) => word);
  return { base, target, bits: own.cost(base, target) };
}

async function changed({ tensor, from, step }: Calls['changed']['args']): Promise<number> {
  const pair = pairs[tensor];
  if (!pair) throw new RangeError('there is no such tensor');
  const { fields } = pair;
  const total = Math.floor(pair.length / fields.bytes);
  for (let done = 0; done < SEARCHED; done += RUN) {
    const start = step > 0 ? from + 1 + done : Math.max(0, from - done - RUN);
    const end = Math.min(total, step > 0 ? start + RUN : from - done);
    if (start >= total || end <= start) return -1;
    const both = [pair.base, pair.target].map((blob) => read(blob, fields, start, end - start));
    const [old = new Uint32Array(), now = new Uint32Array()] = await Promise.all(both);
    const differs = (word: number, i: number) => word !== now[i];
    const found = step > 0 ? old.findIndex(differs) : old.findLastIndex(differs);
    if (found >= 0) return start + found;
  }
  return -1;
}
