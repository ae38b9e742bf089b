/** Collects what comes; `take` waits for so many. */
export class Inbox {
  items = [];
  wake = () => {};

  put = (...item) => {
    this.items.push(item);
    this.wake();
  };

  async take(count) {
    while (this.items.length < count) await new Promise((resolve) => (this.wake = resolve));
    return this.items.splice(0, count);
  }
}
