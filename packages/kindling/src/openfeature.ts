/**
 * A server provider for OpenFeature. Needs `@openfeature/server-sdk`.
 *
 * @module
 */
export { createOpenFeatureProvider, type OpenFeatureProviderOptions } from "./openfeature/create-provider.ts";
