"""The seed tool's way of comparing layers, as a yardstick: every tensor exposed, five metrics per layer in Python.

usage: seed_way.py FLOAT.onnx QDQ.onnx PICTURES N    prints the seconds that inference took, and all
"""
import glob, os, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is loaded
import cv2, numpy as np, onnx, onnxruntime as ort
from scipy.stats import entropy
from sklearn.metrics import mean_squared_error
from sklearn.metrics.pairwise import cosine_similarity

ort.disable_telemetry_events()

float_path, qdq_path, pictures, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
began = time.time()


def session(path, names):
    m = onnx.load(path)
    del m.graph.output[:]
    m.graph.output.extend(onnx.ValueInfoProto(name=x) for x in names)
    o = ort.SessionOptions()
    o.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    o.intra_op_num_threads = 2
    return ort.InferenceSession(m.SerializeToString(), o)


layers = [x for node in onnx.load(float_path).graph.node for x in node.output]
made = {x for node in onnx.load(qdq_path).graph.node for x in node.output}
taps = [x + "_DequantizeLinear_Output" if x + "_DequantizeLinear_Output" in made else x for x in layers]
pairs = [(a, b) for a, b in zip(layers, taps) if b in made]
ref, got = session(float_path, [a for a, _ in pairs]), session(qdq_path, [b for _, b in pairs])
inference, sums = 0.0, np.zeros((len(pairs), 5))
for path in sorted(glob.glob(pictures + "/*.jpg"))[:n]:
    img = cv2.imread(path)
    r = min(416 / img.shape[0], 416 / img.shape[1])
    x = np.full((416, 416, 3), 114, np.uint8)
    small = cv2.resize(img, (int(img.shape[1] * r), int(img.shape[0] * r)))
    x[: small.shape[0], : small.shape[1]] = small
    feed = {"images": np.ascontiguousarray(x.transpose(2, 0, 1)[None]).astype(np.float32)}
    t = time.time()
    a, b = ref.run(None, feed), got.run(None, feed)
    inference += time.time() - t
    for k, (p, q) in enumerate(zip(a, b)):
        p, q = p.flatten(), q.flatten()
        hp, hq = (np.histogram(v, bins=10, density=True)[0] for v in (p, q))
        hp, hq = np.where(hp == 0, 1e-10, hp), np.where(hq == 0, 1e-10, hq)
        sums[k] += (
            cosine_similarity(p[None], q[None])[0, 0], mean_squared_error(p, q), np.mean((p >= 0) == (q >= 0)),
            np.corrcoef(p, q)[0, 1], entropy(hp, hq),
        )
print(f"{inference:.2f} {time.time() - began:.2f}")
