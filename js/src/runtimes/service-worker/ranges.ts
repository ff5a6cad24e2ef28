/** A range of a file; `end` is exclusive. */
export interface Range {
  start: number;
  end: number;
}

/**
 * Returns the range that a request asks for: a range, `all`, or `none` if it is outside the file.
 * Requests for several ranges, and those with a condition that is not met, may be answered with the
 * whole file.
 */
export function rangeOf({ headers }: Request, length: number, etag: string | null): Range | 'all' | 'none' {
  const condition = headers.get('if-range');
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(headers.get('range') ?? '') ?? [];
  if ((first === '' && last === '') || (condition !== null && condition !== etag)) return 'all';
  if (first === '') {
    const start = Math.max(0, length - Number(last));
    return start < length ? { start, end: length } : 'none';
  }
  const start = Number(first);
  const end = last === '' ? length : Math.min(length, Number(last) + 1);
  if (last !== '' && Number(last) < start) return 'all';
  return start < length ? { start, end } : 'none';
}
