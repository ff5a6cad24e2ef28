import { checkWhole, type TRANSFERS } from '../common/index.js';

/** The longest time of a timer in milliseconds; a longer one would be over at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Throws unless the settings of transfers are within their bounds. */
export function checkTransfers(settings: typeof TRANSFERS): void {
  checkWhole(settings, 'retries', 0, Number.POSITIVE_INFINITY);
  checkWhole(settings, 'retryDelay', 0, LONGEST_TIMER_MS);
  checkWhole(settings, 'stallTimeout', 1, LONGEST_TIMER_MS);
}
