/** Gives the unit tests what the package's threads get in Node: `Promise.withResolvers`, which Node 20 lacks. */
import { withResolvers } from './globals.js';

Object.assign(Promise, { withResolvers });
