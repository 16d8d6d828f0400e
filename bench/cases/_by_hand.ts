/** The minimums: what somebody would write who needs just this, and nothing to go wrong. */

interface Node {
  next: Node | undefined;
  resolve(): void;
}

const READY = Promise.resolve();

/** A lock without leases, signals or limits. */
export class HandLock {
  #held = false;
  #first: Node | undefined;
  #last: Node | undefined;

  acquire(): Promise<void> {
    if (!this.#held) {
      this.#held = true;
      return READY;
    }
    return new Promise<void>((resolve) => {
      const node = { resolve, next: undefined };
      if (this.#last === undefined) this.#first = node;
      else this.#last.next = node;
      this.#last = node;
    });
  }

  release(): void {
    const first = this.#first;
    if (first === undefined) {
      this.#held = false;
      return;
    }
    this.#first = first.next;
    if (this.#first === undefined) this.#last = undefined;
    first.resolve();
  }
}

/** A waiter that can leave. */
export class HandWaiter {
  prev: HandWaiter | undefined;
  next: HandWaiter | undefined;
  resolve!: () => void;
  reject!: (reason: unknown) => void;
  readonly promise: Promise<void>;

  constructor() {
    this.promise = new Promise<void>((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** A list of waiters that can leave from anywhere. */
export class HandList {
  #first: HandWaiter | undefined;
  #last: HandWaiter | undefined;

  /** Waits until it is aborted, with a listener of its own. */
  wait(signal: AbortSignal): Promise<void> {
    const waiter = this.add();
    signal.addEventListener("abort", () => {
      this.remove(waiter);
      waiter.reject(signal.reason);
    }, { once: true });
    return waiter.promise;
  }

  add(): HandWaiter {
    const waiter = new HandWaiter();
    waiter.prev = this.#last;
    if (this.#last === undefined) this.#first = waiter;
    else this.#last.next = waiter;
    this.#last = waiter;
    return waiter;
  }

  remove(waiter: HandWaiter): void {
    const { prev, next } = waiter;
    if (prev === undefined) this.#first = next;
    else prev.next = next;
    if (next === undefined) this.#last = prev;
    else next.prev = prev;
  }

  *[Symbol.iterator](): IterableIterator<HandWaiter> {
    for (let at = this.#first; at !== undefined; at = at.next) yield at;
  }
}

/** A channel of numbers without signals, limits or closing. */
export class HandChannel {
  readonly #capacity: number;
  readonly #ring: number[];
  readonly #mask: number;
  #head = 0;
  #size = 0;
  readonly #receivers = new Fifo<(value: number) => void>();
  readonly #senders = new Fifo<{ value: number; resolve: () => void }>();

  /** `room` is for a channel without bound: how much it will hold at most. */
  constructor(capacity: number, room = capacity) {
    this.#capacity = capacity;
    const length = 2 ** Math.ceil(Math.log2(Math.max(1, room)));
    this.#ring = new Array<number>(length).fill(0);
    this.#mask = length - 1;
  }

  send(value: number): Promise<void> {
    const receive = this.#receivers.shift();
    if (receive !== undefined) {
      receive(value);
      return READY;
    }
    if (this.#size < this.#capacity) {
      this.#push(value);
      return READY;
    }
    return new Promise<void>((resolve) => this.#senders.push({ value, resolve }));
  }

  receive(): Promise<number> {
    if (this.#size > 0) {
      const value = this.#ring[this.#head]!;
      this.#head = (this.#head + 1) & this.#mask;
      this.#size--;
      const sender = this.#senders.shift();
      if (sender !== undefined) {
        this.#push(sender.value);
        sender.resolve();
      }
      return Promise.resolve(value);
    }
    const sender = this.#senders.shift();
    if (sender !== undefined) {
      sender.resolve();
      return Promise.resolve(sender.value);
    }
    return new Promise<number>((resolve) => this.#receivers.push(resolve));
  }

  #push(value: number): void {
    this.#ring[(this.#head + this.#size++) & this.#mask] = value;
  }
}

class Fifo<T> {
  #first: { value: T; next: unknown } | undefined;
  #last: { value: T; next: unknown } | undefined;

  push(value: T): void {
    const node = { value, next: undefined };
    if (this.#last === undefined) this.#first = node;
    else this.#last.next = node;
    this.#last = node;
  }

  shift(): T | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    this.#first = first.next as typeof first | undefined;
    if (this.#first === undefined) this.#last = undefined;
    return first.value;
  }
}

/** A pool without limits of time, signals, leases or closing. */
export class HandPool<T> {
  readonly #max: number;
  readonly #create: () => Promise<T>;
  readonly #idle: T[] = [];
  readonly #waiters = new Fifo<(value: T) => void>();
  #size = 0;

  constructor(max: number, create: () => Promise<T>) {
    this.#max = max;
    this.#create = create;
  }

  acquire(): Promise<T> {
    const value = this.#idle.pop();
    if (value !== undefined) return Promise.resolve(value);
    if (this.#size < this.#max) {
      this.#size++;
      return this.#create();
    }
    return new Promise<T>((resolve) => this.#waiters.push(resolve));
  }

  release(value: T): void {
    const resolve = this.#waiters.shift();
    if (resolve === undefined) this.#idle.push(value);
    else resolve(value);
  }
}
