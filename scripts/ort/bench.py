"""python3 bench.py MODEL THREADS: bench.js for computers without Node.js; the same input and output."""
import resource
import sys
import time

import numpy as np
import onnxruntime as ort

file, threads = sys.argv[1], int(sys.argv[2])
options = ort.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL


def rss():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize()


before, begin = rss(), time.perf_counter()
session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
load = (time.perf_counter() - begin) * 1e3
rng, feeds = np.random.default_rng(7), {}
for i in session.get_inputs():
    dims = [d if isinstance(d, int) and d > 0 else 1 for d in i.shape]
    feeds[i.name] = rng.integers(0, 1000, dims) if i.type == "tensor(int64)" else rng.random(dims, dtype=np.float32)
for _ in range(3):
    session.run(None, feeds)
print(f"load {load:.1f} rss {(rss() - before) / 1e6:.1f}", file=sys.stderr)
clock = time.process_time_ns if threads == 1 else time.perf_counter_ns
for line in sys.stdin:
    times = []
    for _ in range(int(line)):
        begin = clock()
        session.run(None, feeds)
        times.append(f"{(clock() - begin) / 1e6:.4f}")
    print(" ".join(times), flush=True)
