"""python3 peer.py NAME [SCALE]: the workloads as a Python program does them.

Prints one number: the value of one run (a rate unless the name says else).
"""
import multiprocessing as mp
import sys
from time import monotonic as now

SCALE = 1.0
REC = {"id": 1, "name": "abc", "value": 3.14}
WARMUPS = 500
MIB = 1 << 20
WORKLOADS = {}


def count(n):
    return max(1, int(n * SCALE))


def workload(name, *args):
    def add(run):
        WORKLOADS[name] = (run, args)
        return run
    return add


# --- start+join, memory -----------------------------------------------------

def nothing():
    pass


@workload("start_join_fork", "fork", 150)
@workload("start_join_spawn", "spawn", 10)
@workload("start_join_forkserver", "forkserver", 20)
def start_join(method, n):
    ctx = mp.get_context(method)

    def once():
        p = ctx.Process(target=nothing)
        p.start()
        p.join()

    n = count(n)
    for _ in range(3):
        once()
    begin = now()
    for _ in range(n):
        once()
    return n / (now() - begin)


@workload("start_join_fork_bigparent", "fork", 20)
@workload("start_join_spawn_bigparent", "spawn", 10)
@workload("start_join_forkserver_bigparent", "forkserver", 20)
def start_join_bigparent(method, n):
    held = bytearray(1 << 30)
    held[::4096] = b"\1" * (len(held) // 4096)
    return start_join(method, n)


def idle(conn):
    conn.send(True)
    conn.recv()


@workload("memory_fork", "fork")
@workload("memory_spawn", "spawn")
@workload("memory_forkserver", "forkserver")
def memory(method):
    """KiB private to a child that waits on a pipe."""
    ctx = mp.get_context(method)
    ours, theirs = ctx.Pipe()
    p = ctx.Process(target=idle, args=(theirs,))
    p.start()
    ours.recv()
    ours.poll(0.1)
    with open(f"/proc/{p.pid}/smaps_rollup") as f:
        kib = sum(int(line.split()[1]) for line in f
                  if line.startswith(("Private_Clean:", "Private_Dirty:")))
    ours.send(True)
    p.join()
    return kib


# --- pipes ------------------------------------------------------------------

def echo(conn, n):
    for _ in range(n):
        conn.send(conn.recv())


@workload("pipe_pingpong")
def pipe_pingpong():
    n = count(20000)
    ours, theirs = mp.Pipe()
    p = mp.Process(target=echo, args=(theirs, WARMUPS + n))
    p.start()
    for i in range(WARMUPS):
        ours.send(i)
        ours.recv()
    begin = now()
    for i in range(n):
        ours.send(i)
        ours.recv()
    took = now() - begin
    p.join()
    return n / took


@workload("manager_dict_get", False)
@workload("manager_dict_set", True)
def manager_dict(setting):
    n = count(10000)
    with mp.Manager() as manager:
        d = manager.dict(a=0)
        for i in range(WARMUPS + n):
            if i == WARMUPS:
                begin = now()
            if setting:
                d["a"] = i
            else:
                d["a"]
        return n / (now() - begin)


@workload("manager_start")
def manager_start():
    n = count(20)
    took = 0
    for _ in range(n):
        begin = now()
        manager = mp.Manager()
        took += now() - begin
        manager.shutdown()
    return took / n * 1e6


def tcp_echo(address, n):
    from multiprocessing.connection import Client
    echo(Client(address), n)


@workload("tcp_pingpong")
def tcp_pingpong():
    from multiprocessing.connection import Listener
    n = count(10000)
    listener = Listener(("127.0.0.1", 0))
    p = mp.Process(target=tcp_echo, args=(listener.address, WARMUPS + n))
    p.start()
    conn = listener.accept()
    for i in range(WARMUPS + n):
        if i == WARMUPS:
            begin = now()
        conn.send(i)
        conn.recv()
    took = now() - begin
    p.join()
    return n / took


def sender(conn, value, n):
    for _ in range(n):
        conn.send(value)


def sender_bytes(conn, value, n):
    for _ in range(n):
        conn.send_bytes(value)


@workload("pipe_throughput_small", sender, "recv", REC, 60000)
@workload("pipe_throughput_int", sender, "recv", 1, 60000)
@workload("pipe_throughput_1m", sender_bytes, "recv_bytes", b"x" * MIB, 600)
@workload("pipe_throughput_1m_obj", sender, "recv", b"x" * MIB, 250)
def throughput(send, recv, value, n):
    n = count(n)
    reader, writer = mp.Pipe(False)
    p = mp.Process(target=send, args=(writer, value, n + 1))
    p.start()
    recv = getattr(reader, recv)
    recv()
    begin = now()
    for _ in range(n):
        recv()
    took = now() - begin
    p.join()
    return n / took


# --- encode and decode ------------------------------------------------------

OBJECTS = {
    "record": (100000, lambda: dict(REC)),
    "nested10k": (15, lambda: [
        {"id": i, "name": f"user{i}", "score": i * 0.5, "active": i % 2 == 0,
         "tags": [f"a{i % 7}", "bb", "ccc"]} for i in range(1, 10001)]),
    "floats1e6": (8, lambda: [i * 0.1 for i in range(1, 1000001)]),
    "ints1e6": (8, lambda: list(range(1, 1000001))),
    "strings1e5": (20, lambda: [f"str{i}" for i in range(1, 100001)]),
}


def serialize(name, library):
    n, make = OBJECTS[name]
    n = count(n)
    value = make()
    codec = __import__(library)
    dumps, loads = codec.dumps, codec.loads
    data = dumps(value)
    assert loads(data) == value
    begin = now()
    for _ in range(n):
        dumps(value)
    for _ in range(n):
        loads(data)
    return n / (now() - begin)


for name in OBJECTS:
    workload("serialize_" + name, name, "pickle")(serialize)
    workload(f"serialize_{name}_marshal", name, "marshal")(serialize)


# --- queues -----------------------------------------------------------------

def produce(queue, gate, value, n):
    gate.wait()
    for _ in range(n):
        queue.put(value)


def consume(queue, gate, ends, n):
    gate.wait()
    for _ in range(n):
        queue.get()
    ends.put(now())


@workload("queue_1p1c_int", 1, 1, 1, 40000)
@workload("queue_1p1c_rec", 1, 1, REC, 40000)
@workload("queue_2p2c_rec", 2, 2, REC, 40000)
@workload("queue_4p1c_rec", 4, 1, REC, 40000)
@workload("queue_64k", 1, 1, b"x" * (64 << 10), 8000)
@workload("simplequeue_1p1c_int", 1, 1, 1, 40000, mp.SimpleQueue)
@workload("simplequeue_1p1c_rec", 1, 1, REC, 40000, mp.SimpleQueue)
@workload("simplequeue_2p2c_rec", 2, 2, REC, 40000, mp.SimpleQueue)
@workload("simplequeue_4p1c_rec", 4, 1, REC, 40000, mp.SimpleQueue)
def queue(p, c, value, total, make=mp.Queue):
    total = count(total) // (p * c) * (p * c)
    q, ends, gate = make(), mp.SimpleQueue(), mp.Barrier(p + c + 1)
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


def queue_echo(there, back, n):
    for _ in range(n):
        back.put(there.get())


@workload("queue_pingpong")
def queue_pingpong():
    n = count(8000)
    there, back = mp.Queue(), mp.Queue()
    p = mp.Process(target=queue_echo, args=(there, back, WARMUPS + n))
    p.start()
    for i in range(WARMUPS + n):
        if i == WARMUPS:
            begin = now()
        there.put(i)
        back.get()
    took = now() - begin
    p.join()
    return n / took


# --- locks ------------------------------------------------------------------

def pairs(lock, n):
    for _ in range(n):
        lock.acquire()
        lock.release()


@workload("lock_uncontended", mp.Lock, 2000000)
@workload("rlock_uncontended", mp.RLock, 2000000)
@workload("semaphore_uncontended", mp.Semaphore, 2000000)
def uncontended(make, n):
    n = count(n)
    lock = make()
    begin = now()
    pairs(lock, n)
    return n / (now() - begin)


def together(run, *args):
    """Seconds until both of two processes have done run(*args)."""
    gate = mp.Barrier(2)
    p = mp.Process(target=arrive, args=(gate, run, args))
    p.start()
    gate.wait()
    begin = now()
    run(*args)
    p.join()
    return now() - begin


def arrive(gate, run, args):
    gate.wait()
    run(*args)


@workload("lock_contended_2")
def lock_contended_2():
    n = count(1000000)
    return 2 * n / together(pairs, mp.Lock(), n)


def turns(n, once, *state):
    """Both processes call once(self, *state) n times."""
    n = count(n)
    p = mp.Process(target=take_turns, args=(WARMUPS + n, once, 1, state))
    p.start()
    take_turns(WARMUPS, once, 0, state)
    begin = now()
    take_turns(n, once, 0, state)
    took = now() - begin
    p.join()
    return n / took


def take_turns(n, once, self, state):
    for _ in range(n):
        once(self, *state)


def semaphore_turn(self, a, b):
    if self == 0:
        a.release()
        b.acquire()
    else:
        a.acquire()
        b.release()


def condition_turn(self, cond, turn):
    with cond:
        while turn.value != self:
            cond.wait()
        turn.value = 1 - self
        cond.notify()


def event_turn(self, a, b):
    if self == 0:
        a.set()
        b.wait()
        b.clear()
    else:
        a.wait()
        a.clear()
        b.set()


def barrier_turn(_, barrier):
    barrier.wait()


@workload("semaphore_pingpong")
def semaphore_pingpong():
    return turns(60000, semaphore_turn, mp.Semaphore(0), mp.Semaphore(0))


@workload("condition_pingpong")
def condition_pingpong():
    return turns(15000, condition_turn, mp.Condition(), mp.RawValue("i", 0))


@workload("event_pingpong")
def event_pingpong():
    return turns(15000, event_turn, mp.Event(), mp.Event())


@workload("barrier_2")
def barrier_2():
    return turns(15000, barrier_turn, mp.Barrier(2))


# --- shared values ----------------------------------------------------------

def increment(value, n):
    for _ in range(n):
        with value.get_lock():
            value.value += 1


@workload("value_increment")
def value_increment():
    n = count(200000)
    value = mp.Value("q", 0)
    took = together(increment, value, n)
    assert value.value == 2 * n
    return 2 * n / took


@workload("value_increment_1")
def value_increment_1():
    n = count(400000)
    value = mp.Value("q", 0)
    begin = now()
    increment(value, n)
    took = now() - begin
    assert value.value == n
    return n / took


@workload("array_fill_elem", True)
@workload("array_fill_elem_raw", False)
def array_fill_elem(lock):
    n = count(1000000)
    a = mp.Array("d", n, lock=lock)
    begin = now()
    for i in range(n):
        a[i] = 1.5
    return n / (now() - begin)


@workload("array_fill_bulk", list)
@workload("array_fill_bulk_buf", "buffer")
def array_fill_bulk(kind):
    import array
    times = count(10)
    a = mp.Array("d", 1000000)
    if kind is list:
        source, target = [1.5] * len(a), a
    else:
        source = memoryview(array.array("d", [1.5]) * len(a)).cast("B")
        target = memoryview(a.get_obj()).cast("B")
    begin = now()
    for _ in range(times):
        target[:] = source
    return times * len(a) / (now() - begin)


@workload("array_slice")
def array_slice():
    times = count(10)
    a = mp.Array("d", 1000000)
    begin = now()
    for _ in range(times):
        a[:]
    return times * len(a) / (now() - begin)


@workload("shared_memory", None)
@workload("shared_memory_touched", b"x" * MIB)
def shared_memory(data):
    from multiprocessing.shared_memory import SharedMemory
    n = count(1000 if data else 8000)
    begin = now()
    for _ in range(n):
        block = SharedMemory(create=True, size=MIB)
        if data:
            block.buf[:] = data
        block.close()
        block.unlink()
    return n / (now() - begin)


@workload("shared_memory_copy")
def shared_memory_copy():
    from multiprocessing.shared_memory import SharedMemory
    size = 64 * MIB
    times = count(20)
    block = SharedMemory(create=True, size=size)
    data = b"x" * size
    block.buf[:] = data
    begin = now()
    for _ in range(times):
        block.buf[:] = data
        data = bytes(block.buf)
    took = now() - begin
    block.close()
    block.unlink()
    return 2 * 64 * times / took


# --- pools -------------------------------------------------------------------

def nop(x):
    return x


@workload("pool_start_fork", "fork", 20)
@workload("pool_start_spawn", "spawn", 3)
@workload("pool_start_forkserver", "forkserver", 3)
@workload("pool_start_thread", "thread", 50)
def pool_start(method, n):
    """Milliseconds for a pool of 2: one call, close, join."""
    from multiprocessing.pool import ThreadPool
    make = ThreadPool if method == "thread" else mp.get_context(method).Pool
    n = count(n)

    def once():
        pool = make(2)
        pool.apply(nop, (1,))
        pool.close()
        pool.join()

    once()
    begin = now()
    for _ in range(n):
        once()
    return (now() - begin) / n * 1e3


def timed_map(n, items, f, chunksize=None):
    with mp.Pool(2) as pool:
        pool.map(nop, range(4), 1)
        begin = now()
        assert len(pool.map(f, items, chunksize)) == len(items)
        return n / (now() - begin)


@workload("pool_map_tiny")
def pool_map_tiny():
    n = count(100000)
    return timed_map(n, range(n), nop)


@workload("pool_map_tiny_chunk1")
def pool_map_tiny_chunk1():
    n = count(20000)
    return timed_map(n, range(n), nop, 1)


@workload("pool_map_bytes")
def pool_map_bytes():
    return timed_map(64, [bytes([64 + i % 32]) * MIB for i in range(64)], nop)


@workload("pool_apply_latency")
def pool_apply_latency():
    n = count(4000)
    with mp.Pool(2) as pool:
        for i in range(WARMUPS):
            pool.apply(nop, (i,))
        begin = now()
        for i in range(n):
            pool.apply(nop, (i,))
        return n / (now() - begin)


@workload("executor_submit", 20000, False)
@workload("executor_submit_latency", 4000, True)
def executor_submit(n, one_by_one):
    from concurrent.futures import ProcessPoolExecutor
    n = count(n)
    with ProcessPoolExecutor(2) as executor:
        executor.submit(nop, 0).result()
        begin = now()
        if one_by_one:
            for i in range(n):
                executor.submit(nop, i).result()
        else:
            futures = [executor.submit(nop, i) for i in range(n)]
            for future in futures:
                future.result()
        return n / (now() - begin)


def primes(limit):
    found = 0
    for n in range(2, limit):
        d = 2
        while d * d <= n:
            if n % d == 0:
                break
            d += 1
        else:
            found += 1
    return found


@workload("pool_map_cpu")
def pool_map_cpu():
    """How much faster than one after the other, the two in turns."""
    with mp.Pool(2) as pool:
        pool.map(nop, range(4), 1)
        serial = parallel = 0
        for _ in range(4):
            begin = now()
            for _ in range(16):
                assert primes(20000) == 2262
            middle = now()
            pool.map(primes, [20000] * 64)
            serial += (middle - begin) * 4
            parallel += now() - middle
        return serial / parallel


@workload("idle_pool_cpu")
def idle_pool_cpu():
    """Milliseconds of CPU time of an idle pool of 2 and its owner in 5 s."""
    import os
    import time
    with mp.Pool(2) as pool:
        pool.map(nop, range(4), 1)
        pids = [os.getpid()] + [p.pid for p in mp.active_children()]

        def used():
            ns = 0
            for pid in pids:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                        ns += int(f.read().split()[0])
            return ns / 1e6

        before = used()
        time.sleep(5)
        return used() - before


if __name__ == "__main__":
    if len(sys.argv) > 2:
        SCALE = float(sys.argv[2])
    run, args = WORKLOADS[sys.argv[1]]
    value = run(*args)
    if sys.argv[1] == "queue_64k":
        value /= 16  # MiB a second
    print(f"{value:.6g}")
