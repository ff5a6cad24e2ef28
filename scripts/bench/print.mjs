/** Tables as plain text and as Markdown. */

export function printTables(tables) {
  for (const { title, note, head, rows } of tables) {
    console.log(`\n${title}`);
    if (note) console.log(note);
    printText(head, rows);
  }
}

/**
 * Prints a table as text, with columns as wide as their content and figures aligned to the right.
 */
function printText(head, rows) {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const right = numeric(head, rows);
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) =>
      right[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
    );
    console.log(cells.join('  ').trimEnd());
  }
}

export function markdownTable({ head, rows }) {
  const line = (cells) => `|${cells.map((cell) => (cell ? ` ${cell} ` : ' ')).join('|')}|`;
  const rule = `|${numeric(head, rows)
    .map((right) => (right ? '---:' : '---'))
    .join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/**
 * Returns for each column if it holds figures, that is, if all of its cells are empty or begin with
 * a digit.
 */
function numeric(head, rows) {
  return head.map((_, column) => column > 0 && rows.every((row) => /^(\d|$)/.test(row[column])));
}
