"""Judges a network on val as a poor camera would show it: the camera effects of training laid on twice, always the same.

Not a test on foreign pictures, but harder than val and quick: for choosing among networks.
"""

import argparse
import os

import cv2
import numpy as np
import torch

import augment
import data
import evaluate
from model import FireNet


class Roughened:
    """The pictures of a cache, scaled and spoilt; picture i is always spoilt alike."""

    def __init__(self, cache, size):
        self.pixels = []
        for i in range(len(cache)):
            rng = np.random.default_rng((77, i))
            self.pixels.append(augment.camera(rng, augment.camera(rng, evaluate.frame(cache[i], size))))

    def __getitem__(self, i):
        return self.pixels[i]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--cache", required=True, help="folder of the caches")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("checkpoints", nargs="+")
    a = p.parse_args()
    cv2.setNumThreads(1)
    val = data.read_folder(os.path.join(a.data, "val"))
    rough = Roughened(data.Cache(os.path.join(a.cache, "val.u8"), val), a.size)
    for path in a.checkpoints:
        state = torch.load(path, map_location="cpu")["ema"]
        net = FireNet()
        net.load_state_dict({k: state[k] for k in net.state_dict()})
        heats, images = evaluate.score(net.to(memory_format=torch.channels_last), rough, range(len(val)), a.size)
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            scores = evaluate.blend(heats.max((2, 3)), images, share)
            print(f"{path} share {share}: {evaluate.line(evaluate.report(val, scores))}")


if __name__ == "__main__":
    main()
