"""Evaluators of COCO detections in Python, as a yardstick: one JSON line each.

usage: coco_peers.py GT.json DT.json [bbox|segm] [hotcoco,faster_coco_eval,pycocotools]

Each runs in a process of its own. Seconds are from the files to the twelve numbers, without imports; the peak is that of
the process (mib), besides what it is right after the imports (mib_imports).
"""
import contextlib, json, os, subprocess, sys, time


def peak():
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) / 1024 for line in f if line.startswith("VmHWM"))


def peer(name):
    if name == "hotcoco":
        from hotcoco import COCO, COCOeval
        return COCO, lambda gt, path: gt.load_res(path), COCOeval
    if name == "faster_coco_eval":
        from faster_coco_eval import COCO, COCOeval_faster
        return COCO, lambda gt, path: gt.loadRes(path), COCOeval_faster
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval
    return COCO, lambda gt, path: gt.loadRes(path), COCOeval


def one(name, gt_path, dt_path, kind):
    dataset, results, evaluator = peer(name)
    imports = peak()
    start = time.perf_counter()
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        gt = dataset(gt_path)
        dt = results(gt, dt_path)
        read = time.perf_counter() - start
        e = evaluator(gt, dt, kind)
        e.evaluate()
        e.accumulate()
        e.summarize()
        seconds = time.perf_counter() - start
    stats = [float(v) for v in e.stats][:12]
    print(json.dumps({"name": name, "seconds": seconds, "read": read, "mib": peak(), "mib_imports": imports, "stats": stats}), file=sys.stderr)


if len(sys.argv) > 5:
    one(sys.argv[5], sys.argv[1], sys.argv[2], sys.argv[3])
    sys.exit()
gt, dt = sys.argv[1:3]
kind = sys.argv[3] if len(sys.argv) > 3 else "bbox"
names = sys.argv[4] if len(sys.argv) > 4 else "hotcoco,faster_coco_eval,pycocotools"
for name in names.split(","):
    run = subprocess.run([sys.executable, __file__, gt, dt, kind, "", name], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{name}: {run.stderr}")
    print(run.stderr.splitlines()[-1], flush=True)
