"""Holds quantcheck's numbers on the HTP emulator against a few lines of Python over onnxruntime and onnxruntime-qnn.

usage: emulator.py FOLDER FLOAT.onnx QDQ.onnx PICTURE.jpg  (quantcheck in bin/; FOLDER takes the sample and the results)
Prints the greatest relative difference of CosSim, SQNR, MSE and MAE over all layers, for the CPU and for the emulator, and
the time of one picture with all layers.
"""
import json, os, subprocess, sys, time
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is loaded
import cv2, numpy as np, onnx, onnxruntime as ort, onnxruntime_qnn as qnn
from onnx import helper, numpy_helper

ort.disable_telemetry_events()

folder, float_model, qdq_model, picture = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
x = cv2.resize(cv2.imread(picture), (416, 416)).transpose(2, 0, 1)[None].astype(np.float32)
sample = os.path.join(folder, 'sample.npy')
np.save(sample, x)
run = json.loads(subprocess.run(['bin/quantcheck', 'check', float_model, '--images', sample, '--variant', f'q={qdq_model}', '--variant', f'q={qdq_model}@htp',
                                 '--threads', '2', '--local-samples', '0', '--out', folder, '--json'], check=True, capture_output=True).stdout)

def session(model, provider):
    so = ort.SessionOptions()
    so.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    so.log_severity_level = 4
    so.intra_op_num_threads = 2
    if provider:
        so.add_session_config_entry('session.disable_cpu_ep_fallback', '1')
        so.add_provider_for_devices([provider], {'backend_type': 'htp', 'soc_model': '66'})
    return ort.InferenceSession(model.SerializeToString(), so)

def exposed(path, names):
    m = onnx.load(path)
    have = {o.name for o in m.graph.output}
    m.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in have)
    return m

def metrics(a, b):
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    noise = ((a - b) ** 2).sum()
    with np.errstate(divide='ignore', invalid='ignore'):
        return dict(CosSim=a @ b / np.sqrt((a @ a) * (b @ b)), SQNR=10 * np.log10((a @ a) / noise), MSE=noise / a.size, MAE=np.abs(a - b).mean())

layers = [l['name'] for l in run['layers']]
reference = dict(zip(layers, session(exposed(float_model, layers), None).run(layers, {run['model']['inputs'][0]['name']: x})))
m = onnx.load(qdq_model)
constant = {i.name: numpy_helper.to_array(i) for i in m.graph.initializer}
maker = {o: n for n in m.graph.node for o in n.output}
ort.register_execution_provider_library('QNNExecutionProvider', qnn.get_library_path())
device = next(d for d in ort.get_ep_devices() if d.ep_name == 'QNNExecutionProvider')
for variant in run['variants']:
    emulated = 'emulator' in variant
    taps = {layer: r['tap'] for layer, r in zip(layers, variant['layers']) if r['status'] in ('compared', 'not quantized')}
    # On the emulator the integers are read, and dequantized here.
    integer = {t: maker[t] for t in taps.values() if emulated and maker[t].op_type == 'DequantizeLinear' and maker[t].input[0] in maker}
    names = sorted({integer[t].input[0] if t in integer else t for t in taps.values()})
    s = session(exposed(qdq_model, names), device if emulated else None)
    feed = {s.get_inputs()[0].name: x}
    s.run(names, feed)
    started = time.time()
    got = dict(zip(names, s.run(names, feed)))
    seconds = time.time() - started
    worst = {}
    for layer, r in zip(layers, variant['layers']):
        if layer not in taps:
            continue
        t = taps[layer]
        y = got[integer[t].input[0] if t in integer else t]
        if t in integer:
            y = (y.astype(np.int64) - constant[integer[t].input[2]].astype(np.int64)).astype(np.float32) * constant[integer[t].input[1]]
        for key, want in metrics(reference[layer], y).items():
            if np.isfinite(want) and key in r['summary']:
                have = r['summary'][key]['mean']
                d = abs(have - want) / max(abs(want), 1e-9)
                worst[key] = max(worst.get(key, 0), d)
    print(f"{variant['spec']['name']}: {len(taps)} layers, greatest relative difference {({k: float(f'{v:.1e}') for k, v in worst.items()})}, one picture with all layers {seconds:.2f} s in Python", flush=True)
os._exit(0)  # the libraries' own clean-up prints
