export interface ProgramOptions {
  name: string;
  directory: string;
  sources: string[];
  compiler?: string;
  flags?: string[];
  linkFlags?: string[];
}
export const root: string;
export const testFlags: string[];
export function listSources(directory: string): string[];
export function whyExcluded(source: string): string;
export function librarySources(): string[];
export function run(command: string, args: string[], options?: object): Promise<number | string>;
export function buildProgram(options: ProgramOptions): Promise<string>;
