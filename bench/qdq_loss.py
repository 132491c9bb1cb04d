"""ONNX Runtime's own debugger of quantization loss, as a yardstick.

usage: qdq_loss.py FLOAT.onnx QDQ.onnx PICTURES N
"""
import glob, os, sys, tempfile
os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the library is loaded
import cv2, numpy as np, onnxruntime
from onnxruntime.quantization import CalibrationDataReader
from onnxruntime.quantization.qdq_loss_debug import (
    collect_activations, compute_activation_error, create_activation_matching, modify_model_output_intermediate_tensors,
)

onnxruntime.disable_telemetry_events()

float_path, qdq_path, pictures, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.paths = iter(sorted(glob.glob(pictures + "/*.jpg"))[:n])

    def get_next(self):
        path = next(self.paths, None)
        if path is None:
            return None
        img = cv2.imread(path)
        r = min(416 / img.shape[0], 416 / img.shape[1])
        x = np.full((416, 416, 3), 114, np.uint8)
        small = cv2.resize(img, (int(img.shape[1] * r), int(img.shape[0] * r)))
        x[: small.shape[0], : small.shape[1]] = small
        return {"images": np.ascontiguousarray(x.transpose(2, 0, 1)[None]).astype(np.float32)}


with tempfile.TemporaryDirectory() as d:
    a, b = os.path.join(d, "a.onnx"), os.path.join(d, "b.onnx")
    modify_model_output_intermediate_tensors(float_path, a)
    modify_model_output_intermediate_tensors(qdq_path, b)
    ref, got = collect_activations(a, Pictures()), collect_activations(b, Pictures())
    errors = compute_activation_error(create_activation_matching(got, ref))
    print(len(errors))
