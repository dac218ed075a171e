"""The Python half of python_queue.lua: serves two queues, works on one."""
import queue
import sys
import threading
from multiprocessing.managers import BaseManager


class Queues(BaseManager):
    pass


jobs, results = queue.Queue(), queue.Queue()
Queues.register("jobs", callable=lambda: jobs)
Queues.register("results", callable=lambda: results)

key = sys.stdin.readline().strip().encode()
server = Queues(("127.0.0.1", 0), authkey=key).get_server()
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.address[1], flush=True)

while (job := jobs.get()) is not None:
    results.put({"text": job["text"], "length": len(job["text"])})
print("python: no more jobs", flush=True)
sys.stdin.readline()  # until the other side has what it wanted
