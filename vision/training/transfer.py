"""Judges a network that was trained without some sources on just those sources: a picture of how far it carries.

Flames: pictures of the left-out sources with flames against those with neither. Smoke is labelled in one source only,
so for it there are only false alarms on the left-out pictures, against recall on val.
"""

import argparse
import os

import numpy as np
import torch

import data
import evaluate
import metrics
from data import FLAME, SMOKE
from model import FireNet


def table(heats, images, foreign, flame, smoke):
    """Markdown. heats: highest cells, images: scores of the pictures, both (n, 2); the rest tells which pictures."""
    neither = ~flame & ~smoke
    lines = [
        "| score of a picture | flame ROC-AUC | recall at 1 % FP | recall at 5 % FP | FP at a threshold of 1 % FP on val | "
        "flame threshold for 1 % / 5 % FP | smoke ROC-AUC | smoke threshold for 1 % / 5 % FP | smoke recall on val there |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        s = evaluate.blend(heats, images, share)
        pos, neg = s[foreign & flame, FLAME], s[foreign & neither, FLAME]
        home = s[~foreign & neither, FLAME]
        strayed = float((neg > metrics.threshold_at(home, 0.01)).mean())
        limits = [metrics.threshold_at(neg, r) for r in (0.01, 0.05)]
        s_pos, s_neg = s[~foreign & smoke, SMOKE], s[foreign & neither, SMOKE]
        s_limits = [metrics.threshold_at(s_neg, r) for r in (0.01, 0.05)]
        lines.append(
            f"| {share:g} × image + {1 - share:g} × cell | {metrics.roc_auc(pos, neg):.4f} | {metrics.recall_at(pos, neg, 0.01):.3f} "
            f"| {metrics.recall_at(pos, neg, 0.05):.3f} | {strayed:.3f} | {limits[0]:.2f} / {limits[1]:.2f} "
            f"| {metrics.roc_auc(s_pos, s_neg):.4f} | {s_limits[0]:.2f} / {s_limits[1]:.2f} "
            f"| {(s_pos > s_limits[0]).mean():.3f} / {(s_pos > s_limits[1]).mean():.3f} |"
        )
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--extra", default="")
    p.add_argument("--cache", required=True, help="folder of the caches")
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--without", required=True)
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--last", type=int, default=13)
    p.add_argument("--markdown", default="")
    p.add_argument("--scores", default="", help="NPZ for the scores")
    a = p.parse_args()
    out = a.without.split(",")
    train = data.read_folder(os.path.join(a.data, "train"))
    if a.extra:
        train += data.read_negatives(os.path.join(a.extra, "photos"))
    val = data.read_folder(os.path.join(a.data, "val"))
    caches = [data.Cache(os.path.join(a.cache, n), p) for n, p in (("train.u8", train), ("val.u8", val))]
    state = torch.load(a.checkpoint, map_location="cpu")
    net = FireNet(a.last)
    net.load_state_dict(state["ema"])
    net = net.to(memory_format=torch.channels_last)

    pictures, heats, images = [], [], []
    for source, cache in zip((train, val), caches):
        wanted = [i for i, q in enumerate(source) if q.source in out or source is val]
        h, g = evaluate.score(net, cache, wanted, a.size)
        pictures += [source[i] for i in wanted]
        heats.append(h.max((2, 3)))
        images.append(g)
    heats, images = np.concatenate(heats), np.concatenate(images)
    foreign = np.array([q.source in out for q in pictures])
    flame = np.array([q.has(FLAME) for q in pictures])
    smoke = np.array([q.has(SMOKE) for q in pictures])
    neither = ~flame & ~smoke
    if a.scores:
        np.savez(a.scores, heats=heats, images=images, foreign=foreign, flame=flame, smoke=smoke, names=[q.path for q in pictures])

    text = table(heats, images, foreign, flame, smoke)
    print(f"step {state['step']}, {int((foreign & flame).sum())} with flame, {int((foreign & neither).sum())} with neither")
    print(text)
    if a.markdown:
        with open(a.markdown, "w", encoding="utf-8") as f:
            f.write(text + "\n")


if __name__ == "__main__":
    main()
