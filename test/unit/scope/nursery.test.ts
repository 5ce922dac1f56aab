import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, test } from 'vitest';
import { Cancelled, NurseryError } from '../../../lib/errors.js';
import {
  CancelScope,
  checkpoint,
  currentScope,
  currentTime,
  moveOnAfter,
  type Nursery,
  openNursery,
  shield,
  sleep,
} from '../../../lib/scope/index.js';
import { outcome, unhandledDuring, virtualTest } from './support.js';

async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  const result = await outcome(promise);
  expect(result).toHaveProperty('error');
  return (result as { error: unknown }).error;
}

describe('openNursery', () => {
  virtualTest('waits for all children, and gives the value of the body', async () => {
    const ended: number[] = [];
    const value = await openNursery(async (nursery) => {
      for (const ms of [30, 10, 20]) {
        nursery.startSoon(async () => {
          await sleep(ms);
          ended.push(ms);
        });
      }
      return 'value';
    });
    expect(value).toBe('value');
    expect(ended).toEqual([10, 20, 30]);
  });

  virtualTest('startSoon does not run the child at once', async () => {
    const order: string[] = [];
    await openNursery((nursery) => {
      nursery.startSoon(() => {
        order.push('child');
      });
      order.push('body');
    });
    expect(order).toEqual(['body', 'child']);
  });

  virtualTest('the first error cancels the siblings; all are awaited; one error comes as itself', async () => {
    const failure = new Error('first');
    const events: string[] = [];
    const error = await errorOf(
      openNursery(async (nursery) => {
        nursery.startSoon(async () => {
          await sleep(10);
          throw failure;
        });
        nursery.startSoon(async () => {
          try {
            await sleep(1000);
          } finally {
            await shield(() => sleep(5));
            events.push(`cleaned up at ${currentTime()}`);
          }
        });
      }),
    );
    expect(error).toBe(failure);
    expect(events).toEqual(['cleaned up at 15']);
  });

  virtualTest('several errors come as one AggregateError', async () => {
    const error = (await errorOf(
      openNursery(async (nursery) => {
        nursery.startSoon(async () => {
          await sleep(10);
          throw new Error('a');
        });
        nursery.startSoon(async () => {
          try {
            await sleep(1000);
          } catch {
            throw new Error('b');
          }
        });
        nursery.startSoon(() => sleep(1000));
      }),
    )) as NurseryError;
    expect(error).toBeInstanceOf(AggregateError);
    expect(error).toBeInstanceOf(NurseryError);
    expect(error.code).toBe('ERR_GAMMALOOP_NURSERY');
    expect(error.errors.map((each) => each.message)).toEqual(['a', 'b']);
    expect(error.message).toContain('a; b');
  });

  virtualTest('strict: one error alone is wrapped as well, a Cancelled from outside is not', async () => {
    const error = (await errorOf(
      openNursery(
        () => {
          throw new Error('alone');
        },
        { strict: true },
      ),
    )) as NurseryError;
    expect(error).toBeInstanceOf(NurseryError);
    expect(error.errors.map((each) => each.message)).toEqual(['alone']);
    const outer = await moveOnAfter(5, () => openNursery(() => sleep(10), { strict: true }));
    expect(outer.cancelled).toBe(true);
  });

  virtualTest('a body that throws cancels the children and its error comes out', async () => {
    const failure = new Error('body');
    let cancelled = false;
    const error = await errorOf(
      openNursery(async (nursery) => {
        nursery.startSoon(() =>
          sleep(1000).catch((reason) => {
            cancelled = reason instanceof Cancelled;
          }),
        );
        await sleep(10);
        throw failure;
      }),
    );
    expect(error).toBe(failure);
    expect(cancelled).toBe(true);
    expect(currentTime()).toBe(10);
  });

  virtualTest('a child that throws while the body waits cancels the body', async () => {
    const failure = new Error('child');
    const error = await errorOf(
      openNursery(async (nursery) => {
        nursery.startSoon(() => {
          throw failure;
        });
        await sleep(1000);
      }),
    );
    expect(error).toBe(failure);
    expect(currentTime()).toBe(0);
  });

  virtualTest('cancelled by its own scope: the children stop, and nothing is thrown', async () => {
    const value = await openNursery(async (nursery) => {
      nursery.startSoon(() => sleep(1000));
      nursery.startSoon(async () => {
        await sleep(10);
        nursery.cancelScope.cancel();
      });
      await sleep(5);
      return 'body';
    });
    expect(value).toBe('body');
    expect(currentTime()).toBe(10);
  });

  virtualTest('cancelled from outside while the children run: stops them and passes on', async () => {
    let stopped = 0;
    const outer = await moveOnAfter(20, () =>
      openNursery((nursery) => {
        for (let index = 0; index < 3; index++) {
          nursery.startSoon(() =>
            sleep(1000).finally(() => {
              stopped++;
            }),
          );
        }
      }),
    );
    expect(outer.cancelled).toBe(true);
    expect(stopped).toBe(3);
  });

  virtualTest('cancelled from outside, but the children end well: the value comes out', async () => {
    const outer = await moveOnAfter(20, () =>
      openNursery((nursery) => {
        nursery.startSoon(() => sleep(1000).catch(() => {}));
        return 'value';
      }),
    );
    expect(outer).toEqual({ cancelled: false, value: 'value' });
  });

  virtualTest(
    'cancelled from outside while a child fails: the outer scope takes the Cancelled, the error comes out',
    async () => {
      const failure = new Error('in clean-up');
      const scope = new CancelScope({ timeout: 10 });
      const error = await errorOf(
        scope.run(() =>
          openNursery((nursery) => {
            nursery.startSoon(() => sleep(1000));
            nursery.startSoon(() => sleep(1000).catch(() => Promise.reject(failure)));
          }),
        ),
      );
      expect(error).toBe(failure);
      expect(scope.cancelledCaught).toBe(true);
    },
  );

  virtualTest('of several errors during a cancellation from outside all come out, without the Cancelled', async () => {
    const scope = new CancelScope({ timeout: 10 });
    const error = (await errorOf(
      scope.run(() =>
        openNursery((nursery) => {
          for (const name of ['a', 'b']) {
            nursery.startSoon(() => sleep(1000).catch(() => Promise.reject(new Error(name))));
          }
          nursery.startSoon(() => sleep(1000));
        }),
      ),
    )) as NurseryError;
    expect(error).toBeInstanceOf(NurseryError);
    expect(error.errors.map(({ message }) => message)).toEqual(['a', 'b']);
  });

  virtualTest('a child may cancel its own nursery: it stops at its next checkpoint, with its siblings', async () => {
    const seen: string[] = [];
    await openNursery((nursery) => {
      nursery.startSoon(() => sleep(1000).finally(() => seen.push('sibling')));
      nursery.startSoon(async () => {
        nursery.cancelScope.cancel();
        seen.push('goes on');
        await checkpoint().finally(() => seen.push('stops'));
        seen.push('never');
      });
    });
    expect(seen).toEqual(['goes on', 'sibling', 'stops']);
  });

  virtualTest(
    'a child that does not pass Cancelled on has ended; its siblings are cancelled all the same',
    async () => {
      const ended: unknown[] = [];
      const failure = new Error('first');
      const error = await errorOf(
        openNursery((nursery) => {
          nursery.startSoon(() => sleep(1000).catch(() => ended.push('kept it')));
          nursery.startSoon(() => sleep(1000).finally(() => ended.push('passed it on')));
          nursery.startSoon(() => Promise.reject(failure));
        }),
      );
      expect([error, ended.sort()]).toEqual([failure, ['kept it', 'passed it on']]);
    },
  );

  virtualTest("a child's shield holds for it alone, and its error is not lost", async () => {
    const start = currentTime();
    const [first, second] = [new Error('first'), new Error('in the shield')];
    const error = (await errorOf(
      openNursery((nursery) => {
        nursery.startSoon(() => shield(() => sleep(50).then(() => Promise.reject(second))));
        nursery.startSoon(() => sleep(1000).finally(() => expect(currentTime() - start).toBe(10)));
        nursery.startSoon(() => sleep(10).then(() => Promise.reject(first)));
      }),
    )) as NurseryError;
    expect(error.errors).toEqual([first, second]);
    expect(currentTime() - start).toBe(50);
  });

  virtualTest('nested nurseries: the errors of the inner ones are kept in their groups', async () => {
    const error = (await errorOf(
      openNursery((outer) => {
        for (const name of ['a', 'b']) {
          outer.startSoon(() =>
            openNursery((inner) => {
              for (const part of [1, 2]) {
                inner.startSoon(() =>
                  sleep(10).then(
                    () => Promise.reject(new Error(`${name}${part}`)),
                    () => Promise.reject(new Error(`${name}${part} cancelled`)),
                  ),
                );
              }
            }),
          );
        }
      }),
    )) as NurseryError;
    const names = error.errors.map((group: NurseryError) => group.errors.map((each) => each.message));
    expect(names).toEqual([
      ['a1', 'a2'],
      ['b1', 'b2'],
    ]);
  });

  virtualTest('a nursery takes the options of a scope', async () => {
    const value = await openNursery(() => sleep(1000).then(() => 'late'), { timeout: 10 });
    expect(value).toBeUndefined();
    expect(currentTime()).toBe(10);
  });

  virtualTest('children may start children, also when the body has ended', async () => {
    const ended: string[] = [];
    await openNursery((nursery) => {
      nursery.startSoon(async () => {
        await sleep(10);
        nursery.startSoon(async () => {
          await sleep(10);
          ended.push('grandchild');
        });
      });
    });
    expect(ended).toEqual(['grandchild']);
    expect(currentTime()).toBe(20);
  });

  virtualTest('after its end it takes no children', async () => {
    let kept: Nursery | null = null;
    await openNursery((nursery) => {
      kept = nursery;
    });
    expect(() => kept!.startSoon(() => {})).toThrow(expect.objectContaining({ code: 'ERR_GAMMALOOP_NURSERY_CLOSED' }));
    await expect(kept!.start(() => {})).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_NURSERY_CLOSED' });
  });

  virtualTest('a child of a cancelled nursery runs as far as its first checkpoint', async () => {
    const steps: string[] = [];
    await openNursery((nursery) => {
      nursery.cancelScope.cancel();
      nursery.startSoon(async () => {
        steps.push('began');
        await checkpoint();
        steps.push('not reached');
      });
    });
    expect(steps).toEqual(['began']);
  });

  virtualTest('the child gets the scope, whose signal stops what knows no scopes', async () => {
    let aborted = false;
    await openNursery(async (nursery) => {
      nursery.startSoon(({ signal }) => {
        return new Promise<void>((resolve) => {
          signal.addEventListener('abort', () => {
            aborted = true;
            resolve();
          });
        });
      });
      await sleep(1);
      nursery.cancelScope.cancel();
    });
    expect(aborted).toBe(true);
  });

  virtualTest('children keep the AsyncLocalStorage contexts of who starts them', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    await openNursery((nursery) => {
      storage.run('first', () => nursery.startSoon(() => void seen.push(storage.getStore())));
      storage.run('second', () => nursery.startSoon(() => void seen.push(storage.getStore())));
      nursery.startSoon(() => void seen.push(storage.getStore()));
    });
    expect(seen).toEqual(['first', 'second', undefined]);
  });

  test('errors of children are never unhandled rejections', async () => {
    const unhandled = await unhandledDuring(async () => {
      await openNursery((nursery) => {
        for (let index = 0; index < 20; index++) {
          nursery.startSoon(() => Promise.reject(new Error(String(index))));
        }
      }).catch(() => {});
    });
    expect(unhandled).toEqual([]);
  });
});

describe('nursery.start', () => {
  virtualTest('waits until the child is ready, and gives its value', async () => {
    await openNursery(async (nursery) => {
      const port = await nursery.start<number>(async (_scope, ready) => {
        await sleep(30);
        ready(8080);
        await sleep(100);
      });
      expect(port).toBe(8080);
      expect(currentTime()).toBe(30);
    });
    expect(currentTime()).toBe(130);
  });

  virtualTest('a child that fails before ready: the error comes out of start, the nursery goes on', async () => {
    const failure = new Error('no port');
    await openNursery(async (nursery) => {
      nursery.startSoon(() => sleep(50));
      const error = await errorOf(
        nursery.start(async () => {
          await sleep(10);
          throw failure;
        }),
      );
      expect(error).toBe(failure);
      expect(nursery.cancelScope.cancelled).toBe(false);
    });
    expect(currentTime()).toBe(50);
  });

  virtualTest('a child that throws at once, or ends without ready, fails the start', async () => {
    await openNursery(async (nursery) => {
      await expect(
        nursery.start(() => {
          throw new Error('at once');
        }),
      ).rejects.toThrow('at once');
      await expect(nursery.start(async () => {})).rejects.toMatchObject({ code: 'ERR_GAMMALOOP_NOT_READY' });
    });
  });

  virtualTest('a child that fails after ready fails the nursery', async () => {
    const failure = new Error('later');
    const error = await errorOf(
      openNursery(async (nursery) => {
        await nursery.start<void>(async (_scope, ready) => {
          ready();
          await sleep(10);
          throw failure;
        });
        await sleep(1000);
      }),
    );
    expect(error).toBe(failure);
    expect(currentTime()).toBe(10);
  });

  virtualTest('ready twice is an error of the child', async () => {
    const error = await errorOf(
      openNursery(async (nursery) => {
        await nursery.start<void>(async (_scope, ready) => {
          ready();
          ready();
        });
      }),
    );
    expect(error).toMatchObject({ code: 'ERR_GAMMALOOP_READY_TWICE' });
  });

  virtualTest('until ready the caller’s scope cancels the child, after it the nursery’s', async () => {
    const events: string[] = [];
    await openNursery(async (nursery) => {
      const before = await moveOnAfter(10, () => nursery.start(() => sleep(1000)));
      expect(before.cancelled).toBe(true);
      expect(currentTime()).toBe(10);
      const scope = new CancelScope();
      await scope.run(async () => {
        await nursery.start<void>(async (own, ready) => {
          ready();
          expect(currentScope()).toBe(own);
          await sleep(20).then(() => events.push('outlives the scope of its start'));
          await sleep(1000).catch((error) => {
            events.push('cancelled with the nursery');
            throw error;
          });
        });
        scope.cancel();
      });
      await sleep(30);
      nursery.cancelScope.cancel();
    });
    expect(events).toEqual(['outlives the scope of its start', 'cancelled with the nursery']);
  });

  virtualTest('ready in a cancelled caller: the child stays where it is and ends there', async () => {
    await openNursery(async (nursery) => {
      const outer = await moveOnAfter(10, () =>
        nursery.start<void>(async (_scope, ready) => {
          await sleep(50).catch(() => {});
          ready();
          await sleep(1000);
        }),
      );
      expect(outer.cancelled).toBe(true);
      expect(nursery.cancelScope.cancelled).toBe(false);
    });
    expect(currentTime()).toBe(10);
  });

  virtualTest('into a cancelled nursery: ready gives the value, the child is cancelled', async () => {
    let cancelled = false;
    const other = new CancelScope();
    let nursery: Nursery | null = null;
    let end: () => void = () => {};
    const held = new Promise<void>((resolve) => (end = resolve));
    const ended = other.run(() =>
      openNursery(async (opened) => {
        nursery = opened;
        await held;
      }),
    );
    other.cancel();
    const value = await nursery!.start<string>(async (_scope, ready) => {
      ready('value');
      await sleep(1000).catch((error) => {
        cancelled = true;
        throw error;
      });
    });
    expect(value).toBe('value');
    end();
    await ended;
    expect(cancelled).toBe(true);
  });

  virtualTest('the nursery waits for a start from outside that is not ready yet', async () => {
    let kept: Nursery | null = null;
    let started: Promise<string> | null = null;
    await openNursery(async (nursery) => {
      kept = nursery;
      started = shield(() =>
        kept!.start<string>(async (_scope, ready) => {
          await sleep(100);
          ready('ready');
          await sleep(100);
        }),
      );
    });
    expect(currentTime()).toBe(200);
    expect(await started).toBe('ready');
  });
});
