import { byId } from '../dom.js';
import { showFault } from '../task/stage.js';
import { latestPair, onPair } from './offer.js';

/**
 * Prepares the section about why a delta is small. Its pictures are loaded when they are asked for;
 * `runSample` restores the sample if there is no pair to look at yet.
 */
export function prepareWhy(runSample: () => Promise<void>): void {
  let open = false;
  const show = async () => {
    const pair = latestPair();
    if (!pair) return;
    const { showWhy } = await import('./panel.js');
    await showWhy(pair);
  };
  const guarded = (work: () => Promise<void>) =>
    void work().catch((error: unknown) => showFault(error, byId('why')));
  byId('why-open').addEventListener('click', () =>
    guarded(async () => {
      if (!latestPair()) await runSample();
      open = latestPair() !== undefined;
      await show();
      byId('why').scrollIntoView({ block: 'start' });
    }),
  );
  onPair(({ name }) => {
    byId('why-of').textContent = `Shows ${name}.`;
    if (open) guarded(show);
  });
}
