/** Who subscribes to what, among the sessions of one server. */

export class TopicTable<Subscriber> {
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  readonly #topics = new Map<Subscriber, Set<string>>();

  subscribe(topic: string, subscriber: Subscriber): void {
    add(this.#subscribers, topic, subscriber);
    add(this.#topics, subscriber, topic);
  }

  unsubscribe(topic: string, subscriber: Subscriber): void {
    remove(this.#subscribers, topic, subscriber);
    remove(this.#topics, subscriber, topic);
  }

  /** It has gone: from all of its topics. */
  removeAll(subscriber: Subscriber): void {
    for (const topic of this.#topics.get(subscriber) ?? []) remove(this.#subscribers, topic, subscriber);
    this.#topics.delete(subscriber);
  }

  isSubscribed(topic: string, subscriber: Subscriber): boolean {
    return this.#subscribers.get(topic)?.has(subscriber) ?? false;
  }

  /** In the order in which they were subscribed to. */
  topicsOf(subscriber: Subscriber): string[] {
    return [...(this.#topics.get(subscriber) ?? [])];
  }

  subscribersOf(topic: string): Iterable<Subscriber> {
    return this.#subscribers.get(topic) ?? [];
  }

  subscriberCount(topic: string): number {
    return this.#subscribers.get(topic)?.size ?? 0;
  }
}

function add<Key, Value>(map: Map<Key, Set<Value>>, key: Key, value: Value): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, new Set([value]));
  else values.add(value);
}

/** No empty set stays behind. */
function remove<Key, Value>(map: Map<Key, Set<Value>>, key: Key, value: Value): void {
  const values = map.get(key);
  if (values?.delete(value) && values.size === 0) map.delete(key);
}
