import { type Bitx, BitxError } from 'bitx-wasm';
import { ModelCache } from 'bitx-wasm/cache';
import { BitxHub, type HubModel, type HubPlan } from 'bitx-wasm/hub';
import { byId, make } from '../dom.js';
import { bytes, percent } from '../format.js';
import { Explained } from '../own/explain.js';
import { showResult } from '../result.js';
import { type Context, isRunning, onTaskChange, type Perform } from '../task/stage.js';
import { UploadPanel } from './upload.js';

/** Models that get a plan, at most; each plan is a request. Further models are only listed. */
const MOST_PLANS = 12;
/** Matches the file of a model that the page offers to save. */
const MODEL_FILE = /\.(safetensors|gguf|onnx|bin)$/i;

/** A listed model, the element that shows its plan, and its button. */
interface Row {
  model: HubModel;
  plan: HTMLElement;
  button: HTMLButtonElement;
}

/** The panel that lists a hub's models and pulls them. */
export class HubPanel {
  readonly #perform: Perform;
  readonly #upload: UploadPanel;
  #hub: BitxHub | undefined;
  #cache: ModelCache | undefined;
  #rows: Row[] = [];

  constructor(perform: Perform) {
    this.#perform = perform;
    this.#upload = new UploadPanel(perform, () => this.#list());
    onTaskChange(() => this.#enable(!isRunning()));
  }

  /** Connects to the hub of the form, and lists its models. */
  async open(): Promise<void> {
    await this.#perform(async (ready, context) => this.#connect(await ready, context), byId('hub'));
  }

  #enable(enabled: boolean): void {
    for (const { button } of this.#rows) button.disabled = !enabled;
    this.#upload.enable(enabled);
  }

  async #connect(bitx: Bitx, { signal }: Context): Promise<void> {
    const url = byId<HTMLInputElement>('hub-url').value;
    const token = byId<HTMLInputElement>('hub-token').value;
    this.#disconnect();
    this.#cache ??= await ModelCache.open();
    this.#hub = new BitxHub({ url, bitx, cache: this.#cache, retries: 2, ...(token && { token }) });
    try {
      await this.#list(signal);
    } catch (error) {
      this.#disconnect();
      throw noHub(error, url);
    }
    this.#upload.connect(this.#hub);
  }

  /** Leaves the hub: its list and its upload are of no use any more. */
  #disconnect(): void {
    this.#hub?.close();
    this.#hub = undefined;
    this.#rows = [];
    byId('models').hidden = true;
    this.#upload.disconnect();
  }

  /** Lists the models, then shows what pulling each would download. */
  async #list(signal?: AbortSignal): Promise<void> {
    const models = (await this.#hub?.list(signal ? { signal } : {})) ?? [];
    this.#rows = models.map((model) => this.#row(model));
    const list = byId('models');
    list.replaceChildren(
      ...this.#rows.map(({ model, plan, button }) => {
        const size = `${bytes(model.bytes)} in ${model.files} file${model.files === 1 ? '' : 's'}`;
        const text = make(
          'div',
          {},
          make('strong', {}, model.name),
          make('span', { class: 'aside' }, size),
          plan,
        );
        return make('li', { class: 'model' }, text, button);
      }),
    );
    if (models.length === 0)
      list.append(make('li', { class: 'aside' }, 'There is no model that you may read.'));
    list.hidden = false;
    await this.#plan(signal);
  }

  async #plan(signal?: AbortSignal): Promise<void> {
    for (const { model, plan } of this.#rows.slice(0, MOST_PLANS)) {
      const planned = await this.#hub?.plan(model.name, signal ? { signal } : {});
      if (planned) plan.replaceChildren(...planText(planned));
    }
  }

  #row(model: HubModel): Row {
    const button = make('button', { type: 'button', 'aria-label': `Pull ${model.name}` }, 'Pull');
    button.addEventListener(
      'click',
      () => void this.#perform((_, context) => this.#pull(model.name, context), byId('hub')),
    );
    return { model, plan: make('span', { class: 'plan' }), button };
  }

  async #pull(name: string, { signal, onProgress }: Context): Promise<void> {
    if (!this.#hub) return;
    const { bytes: whole, fetchBytes = 0, files: planned } = await this.#hub.plan(name, { signal });
    const files = await this.#hub.pull(name, { signal, onProgress });
    const [path, file] = [...files].find(([path]) => MODEL_FILE.test(path)) ?? [...files][0] ?? [];
    const restored = planned.filter(({ from }) => from === 'delta');
    const base = restored[0]?.base;
    showResult({
      title: `Pulled ${name}`,
      bars: [
        ['Whole model', whole, 'whole'],
        ['Fetched', fetchBytes, 'delta'],
      ],
      figures: [
        ['Fetched', bytes(fetchBytes), base ? `delta against ${base.model}` : 'no base was cached'],
        ['Saved', percent(whole - fetchBytes, whole), 'of the download'],
        ['Checked', `${files.size} file${files.size === 1 ? '' : 's'}`, 'against BLAKE3'],
      ],
      ...(file && path && { save: { blob: file, name: path.split('/').at(-1) ?? path } }),
    });
    await this.#plan(signal);
  }
}

/** Returns an error that says so if something else than a hub answers at its address. */
function noHub(error: unknown, url: string): unknown {
  if (!(error instanceof BitxError) || !['not-found', 'format'].includes(error.code)) return error;
  const sentence = `${url} answers, but not as a hub. The address is the one that bitx serve prints.`;
  return new Explained(error, sentence, 'There is no hub at this address');
}

/** Describes in one line what pulling a model would download. */
function planText({ bytes: whole, fetchBytes, savedBytes, files, fits }: HubPlan): (Node | string)[] {
  if (!fits) return [make('span', { class: 'badge bad' }, 'does not fit')];
  if (fetchBytes === 0) return [make('span', { class: 'badge good' }, 'in the cache')];
  const base = files.find(({ from }) => from === 'delta')?.base;
  if (!base || fetchBytes === undefined || savedBytes === undefined) return ['would be fetched whole'];
  const saved = make('span', { class: 'badge good' }, `saves ${percent(savedBytes, whole)}`);
  return [saved, ` ${bytes(fetchBytes)} against ${base.model}`];
}
