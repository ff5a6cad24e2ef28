import { make } from '../dom.js';
import type { Counter } from './client.js';
import type { Detail, Weight } from './messages.js';
import { fieldsOfPair, type TensorPair, weightsOfPair } from './pairs.js';
import { bitsInFields, bitsOf, difference, exponentOf, type FloatFields, numberOf } from './words.js';

/** Tensors that are listed, at most; the treemap has further ones. */
const MOST_LISTED = 250;

/** Shows one weight of a base and of its fine-tune, bit by bit. */
export class Explorer {
  readonly element: HTMLElement;
  readonly #counter: Counter;
  readonly #pairs: TensorPair[];
  readonly #chosen: (detail: Detail) => void;
  readonly #tensor = make('select', { id: 'explorer-tensor' });
  readonly #place = make('input', { id: 'explorer-place', type: 'number', min: '0', step: '1', value: '0' });
  readonly #bits = make('div', { class: 'bits', id: 'explorer-bits' });
  readonly #said = make('p', { class: 'said', id: 'explorer-said', role: 'status' });
  #large: Detail['large'] = [];
  #index = 0;
  #nextLarge = 0;
  /** The number of the latest question, whose answer alone is shown. */
  #asked = 0;

  /** `chosen` is called with each tensor that is chosen. */
  constructor(counter: Counter, pairs: TensorPair[], chosen: (detail: Detail) => void) {
    this.#counter = counter;
    this.#pairs = pairs;
    this.#chosen = chosen;
    this.#tensor.append(...largest(pairs).map((i) => this.#option(i)));
    this.#tensor.addEventListener('change', () => void this.#open());
    this.#place.addEventListener('change', () => void this.#show(Number(this.#place.value)));
    this.element = make(
      'section',
      { class: 'explorer', 'aria-label': 'Bit explorer' },
      make('h3', {}, 'One weight, bit by bit'),
      this.#tools(),
      this.#bits,
      this.#said,
    );
  }

  #tools(): HTMLElement {
    const button = (text: string, id: string, act: () => void) => {
      const element = make('button', { type: 'button', class: 'small', id }, text);
      element.addEventListener('click', act);
      return element;
    };
    return make(
      'div',
      { class: 'explorer-tools' },
      make('label', { class: 'field wide' }, 'Tensor ', this.#tensor),
      make('label', { class: 'field' }, 'Weight ', this.#place),
      make(
        'div',
        { class: 'explorer-buttons' },
        button('← Previous', 'previous', () => void this.#show(this.#index - 1)),
        button('Next →', 'next', () => void this.#show(this.#index + 1)),
        button('Next changed', 'next-changed', () => void this.#toChanged()),
        button('A large change', 'large-change', () => this.#toLarge()),
      ),
    );
  }

  /** Opens a tensor at its first changed weight. */
  start(tensor: number): void {
    void this.#choose(tensor).then(() => this.#toChanged());
  }

  /** Opens a tensor by its name, if it is one that can be shown. */
  choose(name: string): void {
    const index = this.#pairs.findIndex((pair) => pair.name === name);
    if (index >= 0) void this.#choose(index);
  }

  async #choose(index: number): Promise<void> {
    if (!this.#tensor.namedItem(optionId(index))) this.#tensor.append(this.#option(index));
    this.#tensor.value = String(index);
    await this.#open();
  }

  #option(index: number): HTMLOptionElement {
    return make('option', { value: String(index), id: optionId(index) }, this.#pairs[index]?.name ?? '');
  }

  async #open(): Promise<void> {
    const tensor = this.#chosenTensor;
    const detail = await this.#counter.call('detail', { tensor });
    if (tensor !== this.#chosenTensor) return;
    this.#large = detail.large;
    this.#nextLarge = 0;
    this.#chosen(detail);
    await this.#show(0);
  }

  get #chosenTensor(): number {
    return Number(this.#tensor.value);
  }

  get #count(): number {
    const pair = this.#pairs[this.#chosenTensor];
    return pair ? weightsOfPair(pair) : 0;
  }

  async #toChanged(): Promise<void> {
    const tensor = this.#chosenTensor;
    const asked = ++this.#asked;
    const found = await this.#counter.call('changed', { tensor, from: this.#index });
    if (asked !== this.#asked) return;
    if (found < 0) this.#said.textContent = 'No weight behind this one changed.';
    else await this.#show(found);
  }

  #toLarge(): void {
    const next = this.#large[this.#nextLarge % Math.max(1, this.#large.length)];
    this.#nextLarge++;
    if (next) void this.#show(next.index);
    else this.#said.textContent = 'No weight of this tensor changed.';
  }

  async #show(index: number): Promise<void> {
    const tensor = this.#chosenTensor;
    const place = Math.min(Math.max(0, Math.floor(index) || 0), Math.max(0, this.#count - 1));
    const asked = ++this.#asked;
    const weight = await this.#counter.call('weight', { tensor, index: place });
    const pair = this.#pairs[tensor];
    if (asked !== this.#asked || !pair) return;
    const fields = fieldsOfPair(pair);
    this.#index = place;
    this.#place.value = String(place);
    this.#place.max = String(this.#count - 1);
    this.#bits.replaceChildren(...rows(weight, fields));
    this.#said.replaceChildren(...sentence(weight, fields));
  }
}

function optionId(index: number): string {
  return `tensor-${index}`;
}

/** Returns the numbers of the largest tensors, in the order of the model. */
function largest(pairs: TensorPair[]): number[] {
  const numbers = pairs.map((_, i) => i);
  if (pairs.length <= MOST_LISTED) return numbers;
  const size = (i: number) => pairs[i]?.length ?? 0;
  const listed = numbers.toSorted((a, b) => size(b) - size(a)).slice(0, MOST_LISTED);
  return listed.toSorted((a, b) => a - b);
}

function rows({ base, target }: Weight, fields: FloatFields): HTMLElement[] {
  return [
    ruler(fields),
    row('Base', base, base, fields, number(numberOf(base, fields))),
    row('Fine-tune', target, base, fields, number(numberOf(target, fields))),
    row('XOR', (base ^ target) >>> 0, 0, fields, ''),
  ];
}

/** Returns the names of the fields above their bits. */
function ruler(fields: FloatFields): HTMLElement {
  const part = (name: string, width: number) => {
    const element = make('span', { class: `field-name ${name}` }, name === 'sign' ? '±' : name);
    element.style.gridColumn = `span ${width}`;
    return element;
  };
  return make(
    'div',
    { class: 'bit-row', 'aria-hidden': 'true' },
    make('span', { class: 'row-name' }),
    bitGrid(fields, [part('sign', 1), part('exponent', fields.exponent), part('mantissa', fields.mantissa)]),
  );
}

function row(name: string, word: number, other: number, fields: FloatFields, value: string): HTMLElement {
  const before = bitsInFields(other, fields);
  const cells = bitsInFields(word, fields).map(({ bit, field }, i) =>
    make('span', { class: `bit ${field}${bit === before[i]?.bit ? '' : ' flipped'}` }, bit),
  );
  return make(
    'div',
    { class: 'bit-row' },
    make('span', { class: 'row-name' }, name, ...(value ? [make('small', {}, value)] : [])),
    bitGrid(fields, cells),
  );
}

function bitGrid(fields: FloatFields, children: HTMLElement[]): HTMLElement {
  const grid = make('span', { class: `bit-grid wide-${bitsOf(fields)}` }, ...children);
  grid.style.setProperty('--bits', String(bitsOf(fields)));
  return grid;
}

/** Says in a sentence how far the weight moved, and what that takes. */
function sentence({ base, target, bits }: Weight, fields: FloatFields): (Node | string)[] {
  const steps = difference(base, target, fields);
  const moved = steps === 0 ? 'did not move' : `moved by ${count(steps)}`;
  const takes = bits < 0.095 ? 'less than 0.1 bits' : `about ${bits.toFixed(bits < 10 ? 1 : 0)} bits`;
  return [
    'The weight ',
    make('strong', {}, moved),
    `. Among the weights of its context (base exponent ${exponentOf(base, fields)}), that takes `,
    make('strong', { class: 'changed' }, takes),
    ` instead of ${bitsOf(fields)}.`,
  ];
}

function count(steps: number): string {
  const size = Math.abs(steps);
  return `${steps < 0 ? '−' : '+'}${size.toLocaleString('en')} step${size === 1 ? '' : 's'}`;
}

function number(value: number): string {
  return Number.isFinite(value) ? value.toPrecision(4) : String(value);
}
