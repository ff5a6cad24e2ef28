import { byId } from './dom.js';
import { engine } from './engine.js';
import { chosenTune, showChosenTune } from './first/chooser.js';
import { runSample } from './first/run.js';
import { prepareHubForm } from './hub/form.js';
import { prepareAddresses } from './own/addresses.js';
import { linkOf } from './own/link.js';
import { isDeltaModel, Slots, say, type Task } from './own/slots.js';
import { runTask } from './own/tasks.js';
import { prepareCode } from './send/code.js';
import { openLink, runAddresses } from './send/open.js';
import { cancelTask, isRunning, onTaskChange, perform, showFault } from './task/stage.js';
import { prepareWhy } from './why/prepare.js';

const GO: Record<Task['kind'], string> = {
  restore: 'Restore the model',
  compress: 'Make a .bitx',
  merge: 'Merge the adapter',
  look: 'Look inside',
};

const sampleButton = byId<HTMLButtonElement>('sample');
const goButton = byId<HTMLButtonElement>('go');
const slots = new Slots(filesChanged);

sampleButton.addEventListener('click', () => void trySample());
goButton.addEventListener('click', () => void goOn());
byId('compare').addEventListener('click', () => void compare());
byId('cancel').addEventListener('click', cancelTask);
byId('tunes').addEventListener('change', showChosenTune);
onTaskChange(updateButtons);
// A browser may remember another choice than the page's.
showChosenTune();
updateButtons();
prepareHubForm();
prepareAddresses(slots);
prepareCode();
prepareWhy(trySample);
openLink();
performance.mark('bitx-ready');
startBehind();

/** Starts the engine once the page is there, so that it delays nothing; a task starts it at once. */
function startBehind(): void {
  const start = () => void engine().catch((error: unknown) => showFault(error, byId('first')));
  const whenIdle = () => (globalThis.requestIdleCallback ?? setTimeout)(start);
  if (document.readyState === 'complete') whenIdle();
  else addEventListener('load', whenIdle, { once: true });
}

async function trySample(): Promise<void> {
  await perform((ready, context) => runSample(ready, chosenTune(), context), byId('first'));
}

/** Updates the page. A delta alone is inspected at once: that is cheap and needs no base. */
function filesChanged(): void {
  updateButtons();
  const { task } = slots;
  if (task?.kind === 'look' && isDeltaModel(task.model)) void goOn();
}

async function goOn(): Promise<void> {
  const { task } = slots;
  if (!task) return;
  const link = linkOf(task);
  if (link) await runAddresses(link, byId('bench'));
  else await perform((ready, context) => runTask(ready, task, context), byId('bench'));
}

/** Compares the two chosen models, without making a delta. */
async function compare(): Promise<void> {
  const { task } = slots;
  if (task?.kind !== 'compress') return;
  await perform(async (_, context) => {
    const { compareModels } = await import('./why/compare.js');
    await compareModels(task.base, task.target, context);
  }, byId('bench'));
}

function updateButtons(): void {
  const { task } = slots;
  const idle = !isRunning();
  for (const id of ['hub-connect', 'add-addresses', 'compare', 'why-open']) {
    byId<HTMLButtonElement>(id).disabled = !idle;
  }
  // The running task goes on with its own files.
  for (const field of byId('bench').querySelectorAll<HTMLInputElement>(
    ':is(.slots, .folder) :is(input, button)',
  )) {
    field.disabled = !idle;
  }
  sampleButton.disabled = !idle;
  goButton.disabled = !idle || !task;
  goButton.textContent = task ? GO[task.kind] : 'Choose files first';
  for (const id of ['effort-choice', 'compare']) byId(id).hidden = task?.kind !== 'compress';
  say(slots.missing);
}
