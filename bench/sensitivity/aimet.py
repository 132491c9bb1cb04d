"""AIMET's analyze_per_layer_sensitivity with quantizers and inputs that were given, as a yardstick.

usage: aimet.py FLOAT.onnx ENCODINGS.json INPUT.raw...

Says what it examines on its first line, as a list of nodes. Then for every line that it reads it examines all of them and
writes the seconds that took, with the nodes' SQNR, all as JSON.
"""
import importlib.machinery, json, logging, os, sys, time
from unittest.mock import MagicMock

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is loaded


class Unused:
    """Stands for packages that aimet_onnx imports and this function does not use: with torch it would be gigabytes."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx2torch", "osqp", "hvplot"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        module = MagicMock()
        module.__path__, module.__name__, module.__spec__, module.Tensor = [], spec.name, spec, type("Tensor", (), {})
        return module

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Unused())
answers, sys.stdout = sys.stdout, sys.stderr  # the library writes its progress

import numpy as np, onnx, onnxruntime
from aimet_onnx import analyze_per_layer_sensitivity, quantsim
from aimet_onnx.quantsim import QuantizationSimModel, load_encodings_to_sim

onnxruntime.disable_telemetry_events()
logging.disable(logging.INFO)
float_path, encodings, raws = sys.argv[1], sys.argv[2], sys.argv[3:]
model = onnx.load(float_path)
shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
inputs = [{model.graph.input[0].name: np.fromfile(p, np.float32).reshape(shape)} for p in raws]
session = onnxruntime.InferenceSession(float_path, providers=["CPUExecutionProvider"])
reference = [[y.astype(np.float64) for y in session.run(None, x)] for x in inputs]
signal = sum(float((y * y).sum()) for ys in reference for y in ys)

quantsim._tie_qtzrs = False  # what is joined keeps encodings of its own, as they were given
config = os.path.join(os.path.dirname(sys.modules["aimet_onnx"].__file__), "common", "quantsim_config", "default_config_per_channel.json")
sim = QuantizationSimModel(model, quant_scheme="min_max", config_file=config, providers=["CPUExecutionProvider"])
load_encodings_to_sim(sim, encodings, strict=False)


def sqnr(session):
    noise = 0.0
    for x, ys in zip(inputs, reference):
        for y, z in zip(ys, session.run(None, x)):
            d = y - z
            noise += float((d * d).sum())
    return 10 * np.log10(signal / max(noise, 1e-30))


def say(what):
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def has_quantizers(op):
    inputs, outputs, params = sim.get_op_quantizers(op)
    return any(q.enabled for q in [*inputs, *outputs, *params.values()])


say([op.name_op for op in sim.connected_graph.ordered_ops if has_quantizers(op)])
for _ in sys.stdin:
    start, cpu = time.perf_counter(), time.process_time()
    layers = analyze_per_layer_sensitivity(sim, sqnr)
    say({"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu, "layers": layers})
