export { BitxHub } from './hub.js';
export type {
  HubBase,
  HubCallOptions,
  HubFiles,
  HubModel,
  HubOptions,
  HubPlan,
  HubPlannedFile,
  HubPlanOptions,
  HubProgress,
  HubPullOptions,
  HubPushedFile,
  HubPushFile,
  HubPushOptions,
  HubPushPlan,
  HubPushPlanOptions,
  HubPushResult,
} from './types.js';
