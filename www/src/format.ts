/** Formats a size in decimal units, as download managers and file browsers do. */
export function bytes(count: number): string {
  if (count < 999.5) return `${Math.round(count)} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  const power = Math.min(Math.floor(Math.log10(count) / 3), units.length);
  const value = (count / 1000 ** power).toPrecision(3);
  // A size just below the next unit is rounded to 1000 of this one.
  if (Number(value) >= 1000 && power < units.length) return `1.00 ${units[power]}`;
  return `${value.includes('e') ? Math.round(Number(value)) : value} ${units[power - 1]}`;
}

export function percent(part: number, whole: number): string {
  const value = whole === 0 ? 0 : (part / whole) * 100;
  return `${value.toFixed(value < 10 ? 1 : 0)} %`;
}

/** Formats bytes and seconds as a speed in MB/s. */
export function speed(count: number, seconds: number): string {
  const value = count / 1e6 / seconds;
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en')} MB/s`;
}

export function threads(count: number): string {
  return count === 1 ? '1 thread' : `${count} threads`;
}

/** Formats seconds in the units that people use: `4 ms`, `1.2 s`, `3 min 20 s`, `1 h 5 min`. */
export function duration(seconds: number): string {
  if (seconds < 0.0095) return `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 0.95) return `${Math.round(seconds * 100) / 100} s`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
  return minutes % 60 === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Returns `1 tensor`, `2 tensors` or `10,000 tensors`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
