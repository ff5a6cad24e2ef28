/** Counts differences and measures sizes, so that the page never blocks. */
import type { Answer, Calls, Detail, Overview, Request } from './messages.js';
import { Tally } from './model.js';
import { fieldsOfPair, type TensorPair, weightsOfPair } from './pairs.js';
import { PairReader } from './reader.js';
import { type Counted, firstToOpen, totalsOf } from './totals.js';

/** Weights that are counted in all, at most. */
const MOST_WEIGHTS = 1 << 24;
/** The same for models at addresses. */
const MOST_REMOTE = 1 << 21;
/** Weights that are read at once. */
const RUN = 1 << 14;
/** Weights in which a changed one is looked for. */
const SEARCHED = 1 << 22;

let pairs: TensorPair[] = [];
let targets: Blob[] = [];
let tallies: Tally[] = [];
let reader = new PairReader({ bases: [], targets });

const handlers: { [K in keyof Calls]: (args: Calls[K]['args']) => Promise<Calls[K]['result']> } = {
  tally,
  detail,
  weight,
  changed,
  sizes: async () => {
    const { otherSizes } = await import('./other-sizes.js');
    return otherSizes(pairs, targets, reader);
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

async function tally(args: Calls['tally']['args']): Promise<Overview> {
  pairs = args.pairs;
  const parts = [...args.files.bases, ...args.files.targets];
  targets = args.files.targets.filter((part) => part instanceof Blob);
  reader = new PairReader(args.files);
  tallies = [];
  const most = parts.every((part) => part instanceof Blob) ? MOST_WEIGHTS : MOST_REMOTE;
  const share = Math.max(RUN, Math.floor(most / Math.max(1, pairs.length)));
  for (const pair of pairs) tallies.push(await count(pair, share));
  const counted = pairs.map((pair, i): Counted => ({ pair, tally: tallyOf(i) }));
  return { totals: totalsOf(counted), first: firstToOpen(counted) };
}

/** Counts a tensor's weights: all, or runs at equal distances of about `most` weights together. */
async function count(pair: TensorPair, most: number): Promise<Tally> {
  const own = new Tally(fieldsOfPair(pair));
  const total = weightsOfPair(pair);
  const step = total <= most ? RUN : Math.ceil(total / Math.ceil(most / RUN));
  for (let from = 0; from < total; from += step) own.add(...(await reader.words(pair, from, RUN)), from);
  return own;
}

function pairOf(tensor: number): TensorPair {
  const pair = pairs[tensor];
  if (!pair) throw new RangeError('there is no such tensor');
  return pair;
}

function tallyOf(tensor: number): Tally {
  const own = tallies[tensor];
  if (!own) throw new RangeError('there is no such tensor');
  return own;
}

async function detail({ tensor }: Calls['detail']['args']): Promise<Detail> {
  const { count: counted, changed, symbols, large } = tallyOf(tensor);
  return { counted, changed, symbols, large: [...large] };
}

async function weight({ tensor, index }: Calls['weight']['args']): Promise<Calls['weight']['result']> {
  const [[base = 0], [target = 0]] = await reader.words(pairOf(tensor), index, 1);
  return { base, target, bits: tallyOf(tensor).cost(base, target) };
}

async function changed({ tensor, from }: Calls['changed']['args']): Promise<number> {
  const pair = pairOf(tensor);
  const end = Math.min(weightsOfPair(pair), from + 1 + SEARCHED);
  for (let start = from + 1; start < end; start += RUN) {
    const [old, now] = await reader.words(pair, start, Math.min(RUN, end - start));
    const found = old.findIndex((word, i) => word !== now[i]);
    if (found >= 0) return start + found;
  }
  return -1;
}
