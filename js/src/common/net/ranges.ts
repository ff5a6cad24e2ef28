import type { Bytes } from '../bytes.js';
import type { Patience } from './patience.js';
import type { Answer, Remote } from './remote.js';

/** A range to fetch. */
export interface Wanted {
  remote: Remote;
  start: number;
  end: number;
  patience: Patience;
  /** Called for each part, with its place in the file. */
  take(part: Bytes, at: number): void;
  /** Called with the number of bytes of the newest answer, which turned out to be wrong. */
  drop?(bytes: number): void;
}

/**
 * Fetches a range, and resumes a transfer that breaks off. `opened` is an answer that has begun to
 * bring it.
 */
export async function fetchRange(wanted: Wanted, opened?: Answer): Promise<void> {
  const { remote, start, end, patience } = wanted;
  let at = start;
  for (let answer = opened; at < end; answer = undefined) {
    const before = at;
    try {
      answer ??= await remote.range(at, end);
      if (!answer.ranged) throw remote.wrongRange(at, 'all', { status: answer.transfer.response.status });
      for await (const part of answer.transfer.parts()) {
        // The taker may transfer the part.
        const { length } = part;
        if (length > end - at) {
          wanted.drop?.(at - before);
          at = before;
          throw remote.wrongRange(end - before, 'more');
        }
        wanted.take(part, at);
        at += length;
      }
      if (at === before) throw remote.wrongRange(end - at, 'nothing');
    } catch (error) {
      if (at > before) patience.renew();
      await patience.after(error);
    } finally {
      answer?.transfer.end();
    }
  }
}
