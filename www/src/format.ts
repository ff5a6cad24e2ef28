/** Formats a size in decimal units, as download managers and file browsers do. */
export function bytes(count: number): string {
  if (count < 1000) return `${count} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(count) / 3), units.length);
  return `${(count / 1000 ** power).toPrecision(3)} ${units[power - 1]}`;
}

export function percent(part: number, whole: number): string {
  const value = whole === 0 ? 0 : (part / whole) * 100;
  return `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

/** Formats bytes and seconds as a speed in MB/s. */
export function speed(count: number, seconds: number): string {
  return `${Math.round(count / 1e6 / seconds).toLocaleString('en')} MB/s`;
}

export function threads(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`;
}
