"""Writes the ONNX file from a checkpoint, proves that OpenCV 4.6 reads it as PyTorch means it, and times it there."""

import argparse
import hashlib
import json
import os
import statistics
import time

import cv2
import numpy as np
import onnx
import torch

from model import Exported, FireNet

OPSET = 10  # later ones make OpenCV 4.6 refuse ReLU6
AGREE = 1e-3


def without_identity(path):
    """Equal weights are shared through Identity nodes, which OpenCV 4.6 refuses: gives every user its own copy."""
    model = onnx.load(path)
    graph = model.graph
    stored = {t.name: t for t in graph.initializer}
    source = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity" and n.input[0] in stored}
    for name, old in source.items():
        while old in source:
            old = source[old]
        copied = onnx.TensorProto()
        copied.CopyFrom(stored[old])
        copied.name = name
        graph.initializer.append(copied)
    for node in [n for n in graph.node if n.op_type == "Identity" and n.output[0] in source]:
        graph.node.remove(node)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def export(net, path, size):
    net = Exported(net).eval()
    torch.onnx.export(
        net,
        torch.zeros(1, 3, size, size),
        path,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["heat", "image_score"],
    )
    without_identity(path)
    reader = cv2.dnn.readNetFromONNX(path)
    worst = 0.0
    rng = np.random.default_rng(0)
    for _ in range(5):
        x = cv2.GaussianBlur(rng.random((size, size, 3), np.float32), (0, 0), 3)
        x = (x - x.min()) / (x.max() - x.min())
        x = x.transpose(2, 0, 1)[None].copy()
        reader.setInput(x, "image")
        got = reader.forward(["heat", "image_score"])
        with torch.no_grad():
            want = net(torch.from_numpy(x))
        worst = max(worst, *(float(np.abs(g - w.numpy()).max()) for g, w in zip(got, want)))
    if worst > AGREE:
        raise SystemExit(f"{path}: OpenCV and PyTorch differ by {worst:.2g}, allowed {AGREE:g}")
    return worst


def timing(path, size, threads, runs=40):
    """Milliseconds a frame: by the clock, and of the processor, which does not count other programs."""
    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(path)
    x = np.zeros((1, 3, size, size), np.float32)
    taken, used = [], []
    for _ in range(runs):
        net.setInput(x, "image")
        began, mine = time.perf_counter(), time.process_time()
        net.forward(["heat", "image_score"])
        taken.append((time.perf_counter() - began) * 1e3)
        used.append((time.process_time() - mine) * 1e3)
    return {
        "median": round(statistics.median(taken), 1),
        "least": round(min(taken), 1),
        "processor": round(statistics.median(used), 1),
    }


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("checkpoint")
    p.add_argument("onnx")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--last", type=int, default=13)
    p.add_argument("--figures", default="", help="JSON file for what was measured")
    a = p.parse_args()
    state = torch.load(a.checkpoint, map_location="cpu")
    net = FireNet(a.last)
    net.load_state_dict(state["ema"])
    worst = export(net, a.onnx, a.size)
    figures = {
        "step": state["step"],
        "sha256": sha256(a.onnx),
        "bytes": os.path.getsize(a.onnx),
        "largest_difference_to_pytorch": worst,
        "milliseconds_a_frame": {f"{t}_threads": timing(a.onnx, a.size, t) for t in (1, 2)},
    }
    print(json.dumps(figures, indent=2))
    if a.figures:
        with open(a.figures, "w", encoding="utf-8") as f:
            json.dump(figures, f, indent=2)


if __name__ == "__main__":
    main()
