// How long the tests of libraries that run scripts make work: VERBENA_USERS_SECONDS (60 for a long run).

export const SECONDS = Number(process.env.VERBENA_USERS_SECONDS ?? 2);
export const TIMEOUT_MS = (SECONDS + 60) * 1000;

/** Numbers from 0 on, for as long as the test makes work. */
export function* numbers() {
  const end = performance.now() + SECONDS * 1000;
  for (let number = 0; performance.now() < end; number += 1) yield number;
}

/** Which jobs must run, how often, and which have run. Jobs are made no further than `ahead` runs before the workers. */
export class Account {
  #expected = new Map();
  #runs = new Map();
  #missing = 0;
  #wake = () => {};
  early = [];

  constructor(ahead = 500) {
    this.ahead = ahead;
  }

  expect(name, runs = 1, delay = 0) {
    this.#expected.set(String(name), { runs, at: Date.now() + delay });
    this.#missing += runs;
  }

  /** A run of the job; returns how many there have been. */
  ran(name) {
    const runs = (this.#runs.get(String(name)) ?? 0) + 1;
    this.#runs.set(String(name), runs);
    this.#missing -= 1;
    const { at } = this.#expected.get(String(name)) ?? {};
    if (Date.now() < at) this.early.push(`${name} by ${at - Date.now()} ms`);
    this.#wake();
    return runs;
  }

  async #until(missing) {
    while (this.#missing > missing) await new Promise((resolve) => (this.#wake = resolve));
  }

  async *numbers() {
    for (const number of numbers()) {
      await this.#until(this.ahead);
      yield number;
    }
  }

  done() {
    return this.#until(0);
  }

  /** Jobs that ran another number of times than they had to; none, if all is well. */
  get wrong() {
    const names = new Set([...this.#expected.keys(), ...this.#runs.keys()]);
    const pairs = [...names].map((name) => [name, this.#runs.get(name) ?? 0, this.#expected.get(name)?.runs ?? 0]);
    return pairs.filter(([, runs, expected]) => runs !== expected).map(([name, ...counts]) => `${name}: ${counts.join(" of ")}`);
  }

  get size() {
    return this.#expected.size;
  }
}
