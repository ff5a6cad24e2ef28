import { createApp } from 'vue';
import Model from './Model.vue';

createApp(Model).mount('main');
