import { Bitx } from 'bitx-wasm';
import { show } from '../app/show.js';

show(Bitx, document.querySelector('output'));
