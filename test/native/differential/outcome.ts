// What a parser made of a connection's input, in one form for both sides.

export interface Message {
  method: string;
  target: string;
  minor: string;
  keepAlive: boolean;
  upgrade: boolean;
  headers: string[]; // name, value, name, value
  body: string;
  trailers: string[];
  complete: boolean;
}

/**
 * idle: all input used up between messages; closed and upgraded: what follows is no request, and was not looked at; head-incomplete
 * and body-incomplete: more bytes are wanted; head-error and body-error: refused.
 */
export type State =
  | 'idle'
  | 'closed'
  | 'upgraded'
  | 'head-incomplete'
  | 'body-incomplete'
  | 'head-error'
  | 'body-error';

export interface Outcome {
  messages: Message[]; // the last one may be incomplete
  state: State;
  error: string;
  consumed: number; // ours only: with head-error, where the refused message starts
}

/** The text that test/native/differential_main.cc writes. */
export function parseOutcome(text: string): Outcome {
  let at = 0;
  const next = (): string => {
    const colon = text.indexOf(':', at);
    const length = Number(text.slice(at, colon));
    at = colon + 1 + length;
    return text.slice(colon + 1, at);
  };
  const list = (): string[] => Array.from({ length: Number(next()) * 2 }, next);
  const messages: Message[] = [];
  while (next() === 'message') {
    messages.push({
      method: next(),
      target: next(),
      minor: next(),
      keepAlive: next() === '1',
      upgrade: next() === '1',
      headers: list(),
      body: next(),
      trailers: list(),
      complete: next() === '1',
    });
  }
  return { messages, state: next() as State, error: next(), consumed: Number(next()) };
}
