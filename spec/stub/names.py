"""The public names of what luamp follows, one a line: for doc_spec.lua."""

import concurrent.futures as futures
import inspect
import multiprocessing as mp
from multiprocessing import (connection, context, managers, pool, process,
                             queues, shared_memory, sharedctypes, synchronize)

MODULES = [
    ("multiprocessing", mp), ("multiprocessing.connection", connection),
    ("multiprocessing.pool", pool), ("multiprocessing.managers", managers),
    ("multiprocessing.shared_memory", shared_memory),
    ("multiprocessing.sharedctypes", sharedctypes),
    ("concurrent.futures", futures),
]
CLASSES = [
    process.BaseProcess, connection.Connection, connection.Listener,
    queues.Queue, queues.JoinableQueue, queues.SimpleQueue, pool.Pool,
    pool.AsyncResult, managers.BaseManager, managers.SyncManager,
    managers.BaseProxy, managers.SharedMemoryManager, synchronize.Lock,
    synchronize.RLock, synchronize.Semaphore, synchronize.BoundedSemaphore,
    synchronize.Condition, synchronize.Event, synchronize.Barrier,
    shared_memory.SharedMemory, shared_memory.ShareableList,
    sharedctypes.Synchronized, sharedctypes.SynchronizedArray,
    context.BaseContext, futures.Executor, futures.ProcessPoolExecutor,
    futures.ThreadPoolExecutor, futures.Future,
]
# Methods that users are not meant to call, or inherited from str and the like.
HIDDEN = {"set_result", "set_exception", "set_running_or_notify_cancel",
          "add_note", "with_traceback", "args"}


def names():
    for path, module in MODULES:
        for name in getattr(module, "__all__", ()):
            yield name
    for cls in CLASSES:
        for name, _ in inspect.getmembers(cls):
            if not name.startswith("_") and name not in HIDDEN:
                yield name


print("\n".join(sorted(set(names()) - HIDDEN)))
