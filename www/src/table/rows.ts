/** A column of a table over rows of type `R`. */
export interface Column<R> {
  title: string;
  /** The value to sort by. */
  value: (row: R) => string | number;
  /** The text of a cell. */
  text: (row: R) => string;
  /** `true` for the column whose cells are heads of their rows. */
  head?: boolean;
  /** `true` for figures, which are aligned at their ends. */
  figure?: boolean;
}

/** The order of rows: by one of the columns, or as they came. */
export interface Order {
  column: number;
  descending: boolean;
}

/** Returns the rows whose search text has all words of the query, whatever their case. */
export function filtered<R>(rows: readonly R[], query: string, text: (row: R) => string): R[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [...rows];
  return rows.filter((row) => {
    const own = text(row).toLowerCase();
    return words.every((word) => own.includes(word));
  });
}

/** Returns the rows in an order. Equal rows keep theirs. */
export function sorted<R>(rows: readonly R[], columns: Column<R>[], order: Order | undefined): R[] {
  const column = order && columns[order.column];
  if (!column) return [...rows];
  const sign = order.descending ? -1 : 1;
  const keyed = rows.map((row) => ({ row, value: column.value(row) }));
  keyed.sort((a, b) => (a.value < b.value ? -sign : a.value > b.value ? sign : 0));
  return keyed.map(({ row }) => row);
}

/** Returns the order after a click on a column's head: figures fall first, texts rise first. */
export function nextOrder<R>(
  order: Order | undefined,
  column: number,
  columns: Column<R>[],
): Order | undefined {
  const first = columns[column]?.figure ?? false;
  if (order?.column !== column) return { column, descending: first };
  return order.descending === first ? { column, descending: !first } : undefined;
}

/** Returns the rows to draw, from `start` to before `end`, for a scrolled view, with some spare. */
export function drawn(
  count: number,
  rowHeight: number,
  scrolled: number,
  height: number,
): { start: number; end: number } {
  const spare = 8;
  const first = Math.floor(scrolled / rowHeight) - spare;
  const last = Math.ceil((scrolled + height) / rowHeight) + spare;
  const start = Math.min(Math.max(0, first), count);
  return { start, end: Math.max(start, Math.min(count, last)) };
}
