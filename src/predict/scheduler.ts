/** Runs functions a moment later, after what else is waiting to run: other calls, sockets, the page. */
export interface Scheduler {
  defer(task: () => void): void;
  close(): void;
}

/** `setImmediate` where there is one, else a message channel: timers wait for milliseconds. */
export function createScheduler(): Scheduler {
  if (typeof setImmediate === 'function') return { defer: (task) => void setImmediate(task), close() {} };
  const { port1, port2 } = new MessageChannel();
  const tasks: (() => void)[] = [];
  // A property, as pages have it: Node's types know only its own listeners.
  Reflect.set(port1, 'onmessage', () => tasks.shift()?.());
  return {
    defer(task) {
      tasks.push(task);
      port2.postMessage(null);
    },
    close() {
      port1.close();
      port2.close();
    },
  };
}
