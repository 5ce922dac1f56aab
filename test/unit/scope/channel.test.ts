import { describe, expect } from 'vitest';
import {
  BrokenResourceError,
  CancelScope,
  ClosedResourceError,
  currentTime,
  EndOfChannel,
  moveOnAfter,
  openChannel,
  openNursery,
  sleep,
  WouldBlockError,
} from '../../../lib/scope/index.js';
import { waitAllTasksBlocked } from '../../../lib/scope/testing.js';
import { virtualTest } from './support.js';

describe('openChannel', () => {
  virtualTest('capacity 0: each send waits for its receiver', async () => {
    const [sender, receiver] = openChannel<number>();
    const events: string[] = [];
    await openNursery((nursery) => {
      nursery.startSoon(async () => {
        for (const value of [1, 2]) {
          await sender.send(value);
          events.push(`sent ${value} at ${currentTime()}`);
        }
        sender.close();
      });
      nursery.startSoon(async () => {
        await sleep(10);
        expect(await receiver.receive()).toBe(1);
        await sleep(10);
        expect(await receiver.receive()).toBe(2);
        await expect(receiver.receive()).rejects.toBeInstanceOf(EndOfChannel);
      });
    });
    expect(events).toEqual(['sent 1 at 10', 'sent 2 at 20']);
  });

  virtualTest('the buffer keeps order, and who waits to send moves up', async () => {
    const [sender, receiver] = openChannel<number>(2);
    await sender.send(1);
    await sender.send(2);
    const waiting = [sender.send(3), sender.send(4)];
    expect(receiver.statistics()).toEqual({
      buffered: 2,
      capacity: 2,
      openSenders: 1,
      openReceivers: 1,
      waitingSenders: 2,
      waitingReceivers: 0,
    });
    expect(() => sender.sendNowait(5)).toThrow(WouldBlockError);
    expect([receiver.receiveNowait(), await receiver.receive(), await receiver.receive()]).toEqual([1, 2, 3]);
    await Promise.all(waiting);
    sender.close();
    const rest: number[] = [];
    for await (const value of receiver) {
      rest.push(value);
    }
    expect(rest).toEqual([4]);
  });

  virtualTest('many values through a small buffer arrive all, in order', async () => {
    const [sender, receiver] = openChannel<number>(7);
    const received: number[] = [];
    await openNursery((nursery) => {
      nursery.startSoon(async () => {
        for (let value = 0; value < 5000; value++) {
          await sender.send(value);
        }
        sender.close();
      });
      nursery.startSoon(async () => {
        for await (const value of receiver) {
          received.push(value);
        }
      });
    });
    expect(received).toEqual(Array.from({ length: 5000 }, (_, index) => index));
  });

  virtualTest('closed by us: ClosedResourceError, also for who waits on this end', async () => {
    const [sender, receiver] = openChannel<number>();
    const other = receiver.clone();
    const waiting = receiver.receive();
    const waitingOther = other.receive();
    receiver.close();
    receiver.close();
    await expect(waiting).rejects.toBeInstanceOf(ClosedResourceError);
    await expect(receiver.receive()).rejects.toBeInstanceOf(ClosedResourceError);
    expect(() => receiver.receiveNowait()).toThrow(ClosedResourceError);
    expect(() => receiver.clone()).toThrow(ClosedResourceError);
    await sender.send(3);
    expect(await waitingOther).toBe(3);
    sender.close();
    await expect(sender.send(1)).rejects.toBeInstanceOf(ClosedResourceError);
    expect(() => sender.sendNowait(1)).toThrow(ClosedResourceError);
    expect(() => sender.clone()).toThrow(ClosedResourceError);
  });

  virtualTest('closed by them: BrokenResourceError, also for who waits to send', async () => {
    const [sender, receiver] = openChannel<number>(1);
    sender.sendNowait(1);
    const waiting = sender.send(2);
    receiver.close();
    await expect(waiting).rejects.toBeInstanceOf(BrokenResourceError);
    await expect(sender.send(3)).rejects.toBeInstanceOf(BrokenResourceError);
    expect(() => sender.sendNowait(3)).toThrow(BrokenResourceError);
    expect(sender.statistics().buffered).toBe(0);
  });

  virtualTest('closing a sender fails its own waiting sends, not those of its clone', async () => {
    const [sender, receiver] = openChannel<string>();
    const clone = sender.clone();
    const mine = sender.send('mine');
    const theirs = clone.send('theirs');
    sender.close();
    await expect(mine).rejects.toBeInstanceOf(ClosedResourceError);
    expect(await receiver.receive()).toBe('theirs');
    await theirs;
  });

  virtualTest('the channel ends with its last sender; who waits gets EndOfChannel', async () => {
    const [sender, receiver] = openChannel<number>();
    const clone = sender.clone();
    sender.close();
    const waiting = receiver.receive();
    await waitAllTasksBlocked();
    clone.close();
    await expect(waiting).rejects.toBeInstanceOf(EndOfChannel);
    expect(() => receiver.receiveNowait()).toThrow(EndOfChannel);
  });

  virtualTest('a cancelled send was not sent, a cancelled receive takes nothing', async () => {
    const [sender, receiver] = openChannel<string>();
    expect((await moveOnAfter(5, () => sender.send('lost'))).cancelled).toBe(true);
    expect((await moveOnAfter(5, () => receiver.receive())).cancelled).toBe(true);
    expect(() => receiver.receiveNowait()).toThrow(WouldBlockError);
    const pending = receiver.receive();
    await sender.send('next');
    expect(await pending).toBe('next');
    const scope = new CancelScope();
    scope.cancel();
    const [full] = openChannel<number>(5);
    await scope.run(() => full.send(1));
    expect(scope.cancelledCaught).toBe(true);
    expect(full.statistics().buffered).toBe(0);
  });

  virtualTest('ends are disposable', async () => {
    const [sender, receiver] = openChannel<number>(1);
    sender[Symbol.dispose]();
    receiver[Symbol.dispose]();
    expect([sender.closed, receiver.closed]).toEqual([true, true]);
    expect(() => openChannel(-1)).toThrow();
  });
});
