import { BitxError } from 'bitx-wasm';
import { byId } from './dom.js';
import { engine } from './engine.js';
import { Slots, type Task } from './files.js';
import { chosenTune, showChosenTune } from './first/chooser.js';
import { runSample } from './first/run.js';
import { prepareHubForm } from './hub/form.js';
import { runTask } from './task/own.js';
import { cancelTask, isRunning, onTaskChange, perform, showFault } from './task/stage.js';

const GO: Record<Task['kind'], string> = {
  restore: 'Restore the model',
  compress: 'Make a .bitx',
  inspect: 'Look inside',
};

const sampleButton = byId<HTMLButtonElement>('sample');
const goButton = byId<HTMLButtonElement>('go');
const slots = new Slots(filesChanged, refuseFolder);

sampleButton.addEventListener('click', () => void trySample());
goButton.addEventListener('click', () => void goOn());
byId('cancel').addEventListener('click', cancelTask);
byId('tunes').addEventListener('change', showChosenTune);
onTaskChange(updateButtons);
// A browser may remember another choice than the page's.
showChosenTune();
updateButtons();
prepareHubForm();
engine().catch((error: unknown) => showFault(error, byId('first')));

async function trySample(): Promise<void> {
  await perform(async (ready, context) => {
    await runSample(ready, chosenTune(), context);
  }, byId('first'));
}

/** Updates the page. A delta alone is inspected at once: that is cheap and needs no base. */
function filesChanged(): void {
  updateButtons();
  if (slots.task?.kind === 'inspect') void goOn();
}

/** Explains that a folder was dropped, whose files the page does not see. */
function refuseFolder(name: string): void {
  showFault(new BitxError('invalid-argument', `${name} is a folder.`), byId('bench'));
}

async function goOn(): Promise<void> {
  const { task } = slots;
  if (task) await perform((ready, context) => runTask(ready, task, context), byId('bench'));
}

function updateButtons(): void {
  const { task } = slots;
  const idle = !isRunning();
  byId<HTMLButtonElement>('hub-connect').disabled = !idle;
  sampleButton.disabled = !idle;
  goButton.disabled = !idle || !task;
  goButton.textContent = task ? GO[task.kind] : 'Choose files first';
  byId('effort-choice').hidden = task?.kind !== 'compress';
  byId('hint').textContent = task?.kind === 'inspect' ? 'Add its base to restore the model.' : '';
}
