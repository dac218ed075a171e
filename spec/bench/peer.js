// node peer.js NAME [SCALE]: some workloads as a Node program does them, with
// worker_threads and Atomics.  Prints one number.
"use strict";
const { Worker, isMainThread, parentPort, workerData } =
  require("worker_threads");

const now = () => Number(process.hrtime.bigint()) / 1e9;
const show = (value) => console.log(value.toPrecision(6));
const scale = Number(process.argv[3] || 1);
const count = (n) => Math.max(1, Math.floor(n * scale));

// A lock of three states: 0 free, 1 held, 2 held and waited for.
function lock(w) {
  let seen = Atomics.compareExchange(w, 0, 0, 1);
  while (seen !== 0) {
    if (seen === 2 || Atomics.compareExchange(w, 0, 1, 2) !== 0)
      Atomics.wait(w, 0, 2);
    seen = Atomics.compareExchange(w, 0, 0, 2);
  }
}

function unlock(w) {
  if (Atomics.exchange(w, 0, 0) === 2) Atomics.notify(w, 0, 1);
}

// What each of two threads does n times with the shared words.
const jobs = {
  lock_contended_2(w, n) {
    for (; n > 0; n--) { lock(w); unlock(w); }
  },
  value_add(w, n) {
    for (; n > 0; n--) Atomics.add(w, 0, 1);
  },
};

function meet(w) {
  Atomics.add(w, 8, 1);
  while (Atomics.load(w, 8) < 2);
}

function beside(name, n) {
  const words = new Int32Array(new SharedArrayBuffer(64));
  const worker = new Worker(__filename, { workerData: { name, n, words } });
  worker.on("exit", () => show(2 * n / (now() - begin)));
  meet(words);
  const begin = now();
  jobs[name](words, n);
}

function serialize(n, value) {
  const v8 = require("v8");
  const data = v8.serialize(value);
  const begin = now();
  for (let i = 0; i < n; i++) v8.serialize(value);
  for (let i = 0; i < n; i++) v8.deserialize(data);
  show(n / (now() - begin));
}

const list = (n, item) => Array.from({ length: n }, (_, i) => item(i + 1));

// The workers send back whatever they get; `done` when n have come back.
function echo(workers, n, window, done) {
  let sent = 0, received = 0, ready = 0, begin;
  const send = (w) => { if (sent < n) w.postMessage(++sent); };
  for (const w of workers) {
    w.once("message", () => {
      w.on("message", () => {
        if (++received < n) return send(w);
        done(n / (now() - begin));
        workers.forEach((each) => each.terminate());
      });
      if (++ready < workers.length) return;
      begin = now();
      for (let i = 0; i < window; i++) workers.forEach(send);
    });
    w.postMessage(0);
  }
}

const echoer = () => new Worker(__filename, { workerData: { name: "echo" } });

function fill(times, n, once) {
  const begin = now();
  for (let i = 0; i < times; i++) once();
  show(times * n / (now() - begin));
}

const ELEMENTS = 1000000;
const doubles = () =>
  new Float64Array(new SharedArrayBuffer(8 * ELEMENTS));

const workloads = {
  pool_map_tiny_chunk1: () =>
    echo([echoer(), echoer()], count(100000), 256, show),
  pipe_pingpong: () => echo([echoer()], count(30000), 1, show),
  lock_uncontended() {
    const w = new Int32Array(new SharedArrayBuffer(64));
    const n = count(5000000), begin = now();
    for (let i = 0; i < n; i++) { lock(w); unlock(w); }
    show(n / (now() - begin));
  },
  lock_contended_2: () => beside("lock_contended_2", count(2000000)),
  value_add: () => beside("value_add", count(5000000)),
  array_fill_elem() {
    const a = doubles();
    fill(count(100), ELEMENTS, () => {
      for (let i = 0; i < ELEMENTS; i++) a[i] = 1.5;
    });
  },
  array_fill_bulk() {
    const a = doubles(), source = new Array(ELEMENTS).fill(1.5);
    fill(count(40), ELEMENTS, () => a.set(source));
  },
  serialize_record: () =>
    serialize(count(50000), { id: 1, name: "abc", value: 3.14 }),
  serialize_nested10k: () => serialize(count(8), list(10000, (i) => ({
    id: i, name: "user" + i, score: i * 0.5, active: i % 2 === 0,
    tags: ["a" + i % 7, "bb", "ccc"],
  }))),
  serialize_floats1e6: () => serialize(count(4), list(1e6, (i) => i * 0.1)),
  serialize_ints1e6: () => serialize(count(8), list(1e6, (i) => i)),
  serialize_strings1e5: () => serialize(count(10), list(1e5, (i) => "str" + i)),
};

if (isMainThread) {
  workloads[process.argv[2]]();
} else if (workerData.name === "echo") {
  parentPort.on("message", (x) => parentPort.postMessage(x));
} else {
  meet(workerData.words);
  jobs[workerData.name](workerData.words, workerData.n);
}
