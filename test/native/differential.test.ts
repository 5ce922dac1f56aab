// Our parser and decoder against node's own (llhttp) on generated and mutated input. The rules:
//   - what we take, node takes, and every message that both take is the same to the byte;
//   - what node takes and we refuse fits one of the named forms in differential/intended.ts.
// GAMMALOOP_DIFFERENTIAL_CASES and GAMMALOOP_DIFFERENTIAL_SEED choose another run.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { buildProgram, root, testFlags } from '../../scripts/native-build.mjs';
import { generateCase, Random } from './differential/generator.js';
import { intendedFlagDifference, intendedForms } from './differential/intended.js';
import { nodeOutcome } from './differential/node-side.js';
import { type Message, type Outcome, parseOutcome } from './differential/outcome.js';

const caseCount = Number(process.env.GAMMALOOP_DIFFERENTIAL_CASES ?? 120_000);
const seed = Number(process.env.GAMMALOOP_DIFFERENTIAL_SEED ?? 20_260);
const batchSize = 10_000;

let program = '';

beforeAll(async () => {
  program = await buildProgram({
    name: 'differential',
    directory: join(root, 'build-native-tests'),
    sources: [
      'native/http/http_types.cc',
      'native/http/http1_parser.cc',
      'native/http/chunked_decoder.cc',
      'test/native/differential_main.cc',
    ].map((path) => join(root, path)),
    flags: testFlags,
  });
}, 120_000);

function ourOutcomes(inputs: Buffer[]): Outcome[] {
  const parts: Buffer[] = [];
  for (const input of inputs) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(input.length);
    parts.push(length, input);
  }
  const child = spawnSync(program, { input: Buffer.concat(parts), maxBuffer: 1 << 30 });
  if (child.status !== 0) throw new Error(`${program} ended with ${child.status ?? child.signal}: ${child.stderr}`);
  const outcomes: Outcome[] = [];
  for (let at = 0; at < child.stdout.length; ) {
    const end = at + 4 + child.stdout.readUInt32LE(at);
    outcomes.push(parseOutcome(child.stdout.latin1Slice(at + 4, end)));
    at = end;
  }
  return outcomes;
}

const withoutFlags = ({ keepAlive: _keepAlive, upgrade: _upgrade, ...rest }: Message) => JSON.stringify(rest);

/** What is wrong with a case, or ''; names of the intended differences met go into `met`. */
function compare(text: string, ours: Outcome, node: Outcome, met: Map<string, number>): string {
  const meet = (name: string) => met.set(name, (met.get(name) ?? 0) + 1);
  for (let i = 0; i < ours.messages.length; i++) {
    const mine = ours.messages[i] as Message;
    const theirs = node.messages[i];
    const refusedBody = i === ours.messages.length - 1 && ours.state === 'body-error';
    if (!theirs) return `message ${i} is accepted by us, not by node`;
    if (refusedBody) break;
    if (withoutFlags(mine) !== withoutFlags(theirs)) return `message ${i} differs`;
    if (mine.keepAlive !== theirs.keepAlive || mine.upgrade !== theirs.upgrade) {
      const why = intendedFlagDifference(text, mine, theirs);
      if (!why) return `flags of message ${i} differ`;
      meet(why);
      return ''; // what follows is read as something else by the two
    }
  }
  if (!ours.state.endsWith('-error')) {
    if (ours.messages.length !== node.messages.length) return 'node has more messages';
    if (ours.state !== node.state) return `we end ${ours.state}, node ${node.state}`;
    return '';
  }
  // We refused. Did node take what we refused: the head, or the whole message, whose bytes decided?
  const inBody = ours.state === 'body-error';
  const index = inBody ? ours.messages.length - 1 : ours.messages.length;
  const theirs = node.messages[index];
  const nodeTook = inBody ? theirs?.complete === true : theirs !== undefined || node.state === 'idle';
  if (!nodeTook) {
    meet(node.state.endsWith('-error') ? 'both refuse' : 'we refuse earlier than node');
    return '';
  }
  const form = intendedForms.find(
    (one) => one.error === ours.error && one.fits({ text: inBody ? text : text.slice(ours.consumed), node: theirs }),
  );
  if (!form) return `we refuse message ${index} with ${ours.error}, node takes it`;
  meet(`${form.error}: ${form.reason}`);
  return '';
}

test(`${caseCount} generated inputs read as by node's parser, or stricter in a named way`, { timeout: 110_000 }, () => {
  const random = new Random(seed);
  const met = new Map<string, number>();
  const findings: string[] = [];
  let accepted = 0;
  for (let done = 0; done < caseCount; done += batchSize) {
    const inputs = Array.from({ length: Math.min(batchSize, caseCount - done) }, () =>
      Buffer.from(generateCase(random), 'latin1'),
    );
    const outcomes = ourOutcomes(inputs);
    expect(outcomes.length).toBe(inputs.length);
    for (const [i, input] of inputs.entries()) {
      const text = input.toString('latin1');
      const ours = outcomes[i] as Outcome;
      const node = nodeOutcome(input);
      if (ours.messages.some((message) => message.complete)) accepted++;
      const finding = compare(text, ours, node, met);
      if (finding && findings.length < 20) {
        findings.push(
          `case ${done + i} of seed ${seed}: ${finding}\ninput: ${JSON.stringify(text)}\nours: ${JSON.stringify(ours)}\nnode: ${JSON.stringify(node)}`,
        );
      }
    }
  }
  expect(findings.join('\n\n')).toBe('');
  // The generator must reach both sides of every rule, or the comparison says little.
  expect(accepted).toBeGreaterThan(caseCount / 4);
  expect(met.get('both refuse') ?? 0).toBeGreaterThan(caseCount / 20);
  if (caseCount >= 100_000) {
    const unmet = intendedForms.filter((form) => !met.has(`${form.error}: ${form.reason}`));
    expect(unmet.map((form) => `${form.error}: ${form.reason}`)).toEqual([]);
  }
});
