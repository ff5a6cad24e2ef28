import { mount } from 'svelte';
import Model from './Model.svelte';

mount(Model, { target: document.querySelector('main') });
