/** Names of gammaloop as NATS subjects: dots separate tokens on both sides; what NATS has no place for is percent-encoded. */

const PLAIN = /^[\w$:@/-]+(\.[\w$:@/-]+)*$/;

export function natsSubject(subject: string): string {
  if (PLAIN.test(subject)) {
    return subject;
  }
  const encoded = encodeURIComponent(subject).replace(/[*!'()~]/g, percent);
  // Empty tokens are none.
  return encoded.replace(/^\.|\.$|\.(?=\.)/g, percent);
}

export function subjectOf(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}

/** A name of one token, of those that streams and consumers may have. */
export function natsToken(subject: string): string {
  return encodeURIComponent(subject).replace(/[^A-Za-z0-9_-]/g, (char) =>
    (char === '%' ? '=' : percent(char)).replace('%', '='),
  );
}

function percent(char: string): string {
  return `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
}
