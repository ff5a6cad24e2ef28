/** The picture of the first screen, as data: one digit for each weight that it shows. */
export interface Picture {
  columns: number;
  rows: number;
  /** The magnitudes of the base's weights, as ranks from 0 to 5. */
  sizes: string;
  /** For each fine-tune, how far it moved each weight: 0 is not at all, 3 is farthest. */
  changes: Record<string, string>;
}

/** The levels of change that get a colour. */
export const LEVELS = ['1', '2', '3'];

/** Returns the picture of a fine-tune as SVG: the base in grey, and its changes above. */
export function pictureSvg(picture: Picture, tune: string): string {
  const { columns, rows, sizes, changes } = picture;
  const base = [...'012345'].map((level) => path(`base-${level}`, squares(sizes, level, columns)));
  const changed = LEVELS.map((level) =>
    path(`change-${level}`, squares(changes[tune] ?? '', level, columns)),
  );
  const label = 'Weights of the model as squares; those that the fine-tune changed are coloured';
  return (
    `<svg class="weights" id="weights" viewBox="0 0 ${columns} ${rows}" role="img" aria-label="${label}">` +
    `${base.join('')}${changed.join('')}</svg>`
  );
}

/** Returns the outline of all squares whose digit is `level`. */
export function squares(digits: string, level: string, columns: number): string {
  const moves = [...digits].map((digit, i) =>
    digit === level ? `M${i % columns} ${Math.floor(i / columns)}h.86v.86h-.86z` : '',
  );
  return moves.join('');
}

function path(name: string, outline: string): string {
  return `<path class="${name}" d="${outline}"/>`;
}
