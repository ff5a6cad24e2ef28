import { byId } from '../dom.js';
import { perform, showFault } from '../task/stage.js';
import type { HubPanel } from './panel.js';

let panel: Promise<HubPanel> | undefined;

/** Prepares the form of the hub. Its code is loaded when the form is first used. */
export function prepareHubForm(): void {
  byId('hub-form').addEventListener('submit', (event) => {
    event.preventDefault();
    panel ??= import('./panel.js').then(({ HubPanel }) => new HubPanel(perform));
    panel
      .then((panel) => panel.open())
      .catch((error: unknown) => {
        panel = undefined;
        showFault(error, byId('hub'));
      });
  });
  void prefill();
}

/** Fills in the hub that the page's server names in `hub.json`, if it does. */
async function prefill(): Promise<void> {
  const response = await fetch('./hub.json').catch(() => undefined);
  const beside = response?.headers.get('content-type')?.startsWith('application/json');
  if (!response?.ok || !beside) return;
  const { url = '', token = '' } = await response.json();
  byId<HTMLInputElement>('hub-url').value = url;
  byId<HTMLInputElement>('hub-token').value = token;
}
