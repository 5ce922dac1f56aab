/** Child processes that run the sources. */

/** Arguments of a node that runs `code` with serve and Response from the sources. */
export function childArgs(code: string): string[] {
  const loader = new URL('ts-loader.mjs', import.meta.url).href;
  const index = new URL('../../lib/index.ts', import.meta.url).href;
  return [
    '--no-warnings',
    '--import',
    loader,
    '--input-type=module',
    '-e',
    `import { serve, Response } from ${JSON.stringify(index)};\n${code}`,
  ];
}
