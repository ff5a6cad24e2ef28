import { make } from '../dom.js';
import { type Column, drawn, filtered, nextOrder, type Order, sorted } from './rows.js';

/** The height of a row in pixels, as in the style sheet. */
const ROW_HEIGHT = 34;
/** Tables with fewer rows need no search. */
const SEARCHED_FROM = 12;

/** The parts of a table besides its columns. */
interface Options<R> {
  id: string;
  /** The name of the table, such as `14 tensors`. */
  caption: string;
  /** The text of a row that a search looks at. */
  search: (row: R) => string;
}

/**
 * Returns a table that can be searched and sorted. Only the rows in view exist as elements, so that
 * any number of rows opens at once.
 */
export function table<R>(rows: readonly R[], columns: Column<R>[], options: Options<R>): HTMLElement {
  return new Table(rows, columns, options).element;
}

class Table<R> {
  readonly element: HTMLElement;
  readonly #all: readonly R[];
  readonly #columns: Column<R>[];
  readonly #options: Options<R>;
  readonly #body = make('tbody');
  readonly #heads: HTMLElement[];
  readonly #scroll: HTMLElement;
  readonly #found = make('p', { class: 'aside', role: 'status' });
  #shown: R[];
  #query = '';
  #order: Order | undefined;

  constructor(rows: readonly R[], columns: Column<R>[], options: Options<R>) {
    this.#all = rows;
    this.#shown = [...rows];
    this.#columns = columns;
    this.#options = options;
    this.#heads = columns.map((column, index) => this.#head(column, index));
    const { id, caption } = options;
    const grid = make(
      'table',
      { id, 'aria-rowcount': String(rows.length + 1) },
      make('thead', {}, make('tr', { 'aria-rowindex': '1' }, ...this.#heads)),
      this.#body,
    );
    this.#scroll = make(
      'div',
      { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption },
      grid,
    );
    this.#scroll.addEventListener('scroll', () => this.#draw(), { passive: true });
    const tools = rows.length < SEARCHED_FROM ? [] : [this.#search()];
    this.element = make('div', { class: 'tensors' }, make('h3', {}, caption), ...tools, this.#scroll);
    this.#draw();
  }

  #head({ title, figure }: Column<R>, index: number): HTMLElement {
    const button = make('button', { type: 'button', class: 'sort' }, title);
    button.addEventListener('click', () => {
      this.#order = nextOrder(this.#order, index, this.#columns);
      this.#update();
    });
    return make('th', { scope: 'col', ...(figure && { class: 'figure' }) }, button);
  }

  #search(): HTMLElement {
    const input = make('input', { type: 'search', 'aria-label': `Search ${this.#options.caption}` });
    input.placeholder = 'Search';
    input.addEventListener('input', () => {
      this.#query = input.value;
      this.#update();
    });
    return make('div', { class: 'field search' }, input, this.#found);
  }

  #update(): void {
    const found = filtered(this.#all, this.#query, this.#options.search);
    this.#shown = sorted(found, this.#columns, this.#order);
    const all = found.length === this.#all.length;
    this.#found.textContent = all ? '' : `${found.length.toLocaleString('en')} found`;
    for (const [index, head] of this.#heads.entries()) {
      const direction = this.#order?.descending ? 'descending' : 'ascending';
      if (index === this.#order?.column) head.setAttribute('aria-sort', direction);
      else head.removeAttribute('aria-sort');
    }
    this.#scroll.scrollTop = 0;
    this.#draw();
  }

  #draw(): void {
    // Before it is in the page, the view has no height.
    const height = this.#scroll.clientHeight || 600;
    const { start, end } = drawn(this.#shown.length, ROW_HEIGHT, this.#scroll.scrollTop, height);
    const rows = this.#shown.slice(start, end).map((row, i) => this.#row(row, start + i));
    this.#body.replaceChildren(filler(start), ...rows, filler(this.#shown.length - end));
  }

  #row(row: R, index: number): HTMLElement {
    const cells = this.#columns.map(({ text, head, figure }) => {
      const content = text(row);
      if (!head) return make('td', figure ? { class: 'figure' } : {}, content);
      // Long names lose their beginnings, which are those of their neighbours as well.
      return make('th', { scope: 'row', title: content }, make('bdi', {}, content));
    });
    return make('tr', { 'aria-rowindex': String(index + 2) }, ...cells);
  }
}

/** Returns the room of rows that are not drawn. */
function filler(rows: number): HTMLElement {
  const row = make('tr', { class: 'filler', 'aria-hidden': 'true' });
  row.style.blockSize = `${rows * ROW_HEIGHT}px`;
  return row;
}
