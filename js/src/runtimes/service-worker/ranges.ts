/** A part of a file; `end` is not included. */
export interface Range {
  start: number;
  end: number;
}

/**
 * The part of a file that a request asks for: a part, all of it, or something that it does not have. Several ranges at once, and
 * those that hang on a condition that is not met, may be answered by the whole.
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
