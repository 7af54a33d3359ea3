"""Finds the training pictures without fire that a network is least sure about; they get more turns at the end."""

import argparse
import json
import os

import torch

import data
import evaluate
from model import FireNet

# Looked at by eye: tyre smoke that nobody labelled. The network is right to be unsure.
MISLABELLED = {"ber_00164.jpg"}


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--extra", required=True)
    p.add_argument("--cache", required=True, help="folder of the caches")
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--size", type=int, default=192)
    a = p.parse_args()
    pictures = data.read_folder(os.path.join(a.data, "train")) + data.read_negatives(os.path.join(a.extra, "photos"))
    cache = data.Cache(os.path.join(a.cache, "train.u8"), pictures)
    net = FireNet()
    net.load_state_dict(torch.load(a.checkpoint, map_location="cpu")["ema"])
    net = net.to(memory_format=torch.channels_last)
    wanted = [
        i
        for i, q in enumerate(pictures)
        if not len(q.boxes) and all(q.knows) and os.path.basename(q.path) not in MISLABELLED
    ]
    heats, images = evaluate.score(net, cache, wanted, a.size)
    worst = evaluate.blend(heats.max((2, 3)), images, 0.5).max(1)
    with open(a.out, "w", encoding="utf-8") as f:
        json.dump({os.path.basename(pictures[i].path): round(float(s), 4) for i, s in zip(wanted, worst)}, f)
    for source in sorted({pictures[i].source for i in wanted}):
        mine = [s for i, s in zip(wanted, worst) if pictures[i].source == source]
        print(f"{source}: {len(mine)}, mean {sum(mine) / len(mine):.3f}, over 0.5: {sum(s > 0.5 for s in mine)}")


if __name__ == "__main__":
    main()
