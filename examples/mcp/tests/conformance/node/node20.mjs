// The suite imports `globSync`, which Node 20 does not have and no scenario needs.
import { register } from 'node:module';
const hook = `export async function resolve(specifier, context, next) {
  if (specifier !== 'fs' || !context.parentURL?.includes('/conformance/')) return next(specifier, context);
  const code = "export * from 'node:fs'; export const globSync = undefined;";
  return { url: 'data:text/javascript,' + encodeURIComponent(code), shortCircuit: true };
}`;
register('data:text/javascript,' + encodeURIComponent(hook));
