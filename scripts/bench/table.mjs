/** Prints what was measured as plain tables. */
export function printTables({ machine, threads, runs, full_size, pairs }) {
  const { cpu, cores, load } = machine;
  console.log(
    `${cpu}, ${cores} cores, load ${load.toFixed(1)} at the start; ${threads} threads, ${runs} runs`,
  );
  if (!full_size) console.log('Small test vectors: these figures say how fast processes start, not more.');
  for (const { name, bytes, rows, formats } of pairs) {
    console.log(`\n${name}, ${bytes} bytes`);
    print(
      ['', 'unit', 'ours', 'theirs', 'ratio', 'rounds', 'asked', 'peer'],
      rows.map((row) => [
        row.what,
        row.unit,
        row.ours.toFixed(0),
        row.theirs.toFixed(0),
        row.ratio.toFixed(row.unit === 'bytes' ? 4 : 2),
        row.range?.map((ratio) => ratio.toFixed(2)).join(' to ') ?? '',
        row.asked === undefined ? '' : `>= ${row.asked}`,
        row.peer,
      ]),
    );
    console.log('\nours, compute only');
    print(
      ['format', 'effort', 'ratio', 'encode MB/s', 'decode MB/s'],
      formats.map((row) => [
        row.format,
        row.effort,
        row.ratio.toFixed(4),
        row.encode_mb_s.toFixed(0),
        row.decode_mb_s.toFixed(0),
      ]),
    );
  }
}

/** Columns as wide as their content; what looks like a number is set flush right. */
function print(head, rows) {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column].length)),
  );
  const numeric = head.map((_, column) => rows.every((row) => /^-?[\d.]+$/.test(row[column])));
  for (const row of [head, ...rows]) {
    const cells = row.map((cell, column) =>
      numeric[column] ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
    );
    console.log(cells.join('  ').trimEnd());
  }
}
