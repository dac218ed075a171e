"""python3 grow.py NAME X: one point of a curve of curves.lua, in Python."""
import multiprocessing as mp
import sys
from time import monotonic as now

REC = {"id": 1, "name": "abc", "value": 3.14}
MIB = 1 << 20


def nothing():
    pass


def start_fork(x):
    """Milliseconds to start and join while the parent holds x MiB."""
    held = bytearray(x * MIB)
    held[::4096] = b"\1" * (len(held) // 4096)
    ctx = mp.get_context("fork")
    times = 0
    begin = now()
    while times < 3 or times < 100 and now() - begin < 0.5:
        p = ctx.Process(target=nothing)
        p.start()
        p.join()
        times += 1
    return (now() - begin) / times * 1e3


def produce(queue, gate, value, n):
    gate.wait()
    for _ in range(n):
        queue.put(value)


def consume(queue, gate, ends, n):
    gate.wait()
    for _ in range(n):
        queue.get()
    ends.put(now())


def queue_rate(p, c, value, total):
    total = max(1, total // (p * c)) * (p * c)
    q, ends, gate = mp.Queue(), mp.SimpleQueue(), mp.Barrier(p + c + 1)
    team = [mp.Process(target=produce, args=(q, gate, value, total // p))
            for _ in range(p)]
    team += [mp.Process(target=consume, args=(q, gate, ends, total // c))
             for _ in range(c)]
    for member in team:
        member.start()
    gate.wait()
    begin = now()
    end = max(ends.get() for _ in range(c))
    for member in team:
        member.join()
    return total / (end - begin)


def queue_size(x):
    total = max(8, min(20000, 256 * MIB // x))
    return queue_rate(1, 1, b"x" * x, total) * x / MIB


def queue_many(x):
    return queue_rate(x, x, REC, 20000)


def busy(us):
    until = now() + us * 1e-6
    while now() < until:
        pass


def pool_chunk1(x):
    n = max(100, min(10000, 1000000 // x))
    with mp.Pool(2) as pool:
        pool.map(busy, [1] * 4, 1)
        begin = now()
        pool.map(busy, [x] * n, 1)
        return n / (now() - begin)


def nop(x):
    return x


def pool_queued(x):
    with mp.Pool(2) as pool:
        pool.map(nop, range(4), 1)
        begin = now()
        results = [pool.apply_async(nop, (i,)) for i in range(x)]
        for result in results:
            result.get()
        return x / (now() - begin)


if __name__ == "__main__":
    print(f"{globals()[sys.argv[1]](int(sys.argv[2])):.6g}")
