// node peer.js [SCALE]: 100,000 small tasks through two worker_threads, one
// message a task, 512 of them under way.  Prints tasks a second.
"use strict";
const { Worker, isMainThread, parentPort } = require("worker_threads");

if (!isMainThread) {
  parentPort.on("message", (x) => parentPort.postMessage(x));
} else {
  const n = Math.max(1, Math.floor(100000 * Number(process.argv[2] || 1)));
  const workers = [new Worker(__filename), new Worker(__filename)];
  let sent = 0, received = 0, ready = 0, begin;
  const send = (w) => { if (sent < n) w.postMessage(++sent); };
  const start = () => {
    begin = process.hrtime.bigint();
    for (let i = 0; i < 256; i++) workers.forEach(send);
  };
  for (const w of workers) {
    w.once("message", () => {
      w.on("message", () => {
        if (++received < n) return send(w);
        const seconds = Number(process.hrtime.bigint() - begin) / 1e9;
        console.log((n / seconds).toPrecision(6));
        workers.forEach((each) => each.terminate());
      });
      if (++ready === 2) start();
    });
    w.postMessage(0);
  }
}
