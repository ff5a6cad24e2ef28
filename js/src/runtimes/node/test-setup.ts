/**
 * Gives the unit tests `Promise.withResolvers`, which Node 20 lacks and the package's threads also
 * get.
 */
import { withResolvers } from './globals.js';

Object.assign(Promise, { withResolvers });
