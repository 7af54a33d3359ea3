"""Scores pictures with a network and sums the scores up."""

import cv2
import numpy as np
import torch

import metrics
from data import CLASSES, FLAME, SMOKE


def blend(heat_max, image, share):
    """Score of a picture: `share` of the image output and the rest of the highest cell."""
    return share * image + (1 - share) * heat_max


def frame(pixels, size):
    """The input of the network for an RGB picture: stretched to size x size by area, as the Go worker does it."""
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)


def score(net, cache, indices, size, batch=16):
    """Heat maps (n, 2, h, w) and image outputs (n, 2) as probabilities."""
    net.eval()
    heats, images = [], []
    with torch.no_grad():
        for i in range(0, len(indices), batch):
            x = np.stack([frame(cache[k], size) for k in indices[i : i + batch]])
            x = torch.from_numpy(x).permute(0, 3, 1, 2).float().div_(255).contiguous(memory_format=torch.channels_last)
            heat, image = net(x)
            heats.append(torch.sigmoid(heat).numpy())
            images.append(torch.sigmoid(image).numpy())
    return np.concatenate(heats), np.concatenate(images)


def report(pictures, scores):
    """Image-level figures. scores: (n, 2) flame, smoke."""
    flame = np.array([p.has(FLAME) for p in pictures])
    smoke = np.array([p.has(SMOKE) for p in pictures])
    knows = np.array([p.knows[SMOKE] for p in pictures])
    neither = ~flame & ~smoke
    either = scores.max(1)
    return {
        CLASSES[FLAME]: metrics.summary(scores[flame, FLAME], scores[neither, FLAME], scores[~flame, FLAME]),
        CLASSES[SMOKE]: metrics.summary(
            scores[smoke & knows, SMOKE], scores[neither & knows, SMOKE], scores[~smoke & knows, SMOKE]
        ),
        "any": metrics.summary(either[~neither], either[neither], either[neither]),
    }


def line(r):
    return "  ".join(
        f"{k} auc {v['roc_auc']:.4f} (neither {v['roc_auc_neither']:.4f}) r1 {v['recall_at_1_percent']:.3f} r5 {v['recall_at_5_percent']:.3f}" for k, v in r.items()
    )
