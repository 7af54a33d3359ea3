"""Trains the network. Resumes from the last checkpoint in --out; give the same arguments and nothing is lost.

The learning rate is constant and falls linearly to nothing over the last --cooldown steps, so that a run can be
cut short or drawn out (--steps) while it is under way. What is kept is the running average of the weights.
"""

import argparse
import copy
import glob
import json
import os
import time

import cv2
import numpy as np
import torch
import torch.nn.functional as F

import data
import evaluate
from model import FireNet
from samples import Samples

SMOOTH = 0.03  # label smoothing, against wrong labels


def losses(heat, image, t_heat, t_weight, t_image, t_image_weight):
    """Cell loss and image loss. Cells: positives, negatives, and the worst negatives each count alike."""
    soft = t_heat * (1 - 2 * SMOOTH) + SMOOTH
    bce = F.binary_cross_entropy_with_logits(heat, soft, reduction="none")
    focus = (torch.sigmoid(heat.detach()) - t_heat).abs().clamp(min=0.05)
    bce = (bce * focus * t_weight).flatten(2)
    positive = (t_heat * t_weight).flatten(2)
    negative = ((1 - t_heat) * t_weight).flatten(2)
    n_pos, n_neg = positive.sum(2), negative.sum(2)
    pos = (bce * (positive > 0)).sum(2) / n_pos.clamp(min=1)
    neg_cells = bce * (positive == 0)
    neg = neg_cells.sum(2) / n_neg.clamp(min=1)
    clean = (n_pos == 0).float()  # only pictures without the class have trustworthy worst negatives
    worst = neg_cells.topk(12, 2).values.mean(2) * clean
    cell = (1.5 * pos + neg + worst).mean()
    soft = t_image * (1 - 2 * SMOOTH) + SMOOTH
    img = F.binary_cross_entropy_with_logits(image, soft, reduction="none")
    return cell, (img * t_image_weight).mean()


def average(ema, net, step, decay):
    d = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        for a, b in zip(ema.state_dict().values(), net.state_dict().values()):
            if a.dtype.is_floating_point:
                a.mul_(d).add_(b, alpha=1 - d)
            else:
                a.copy_(b)


def freeze(net, blocks):
    """The first layers stay as published: edges and colours need no fire, and half of the time goes into them."""
    trunk = net.trunk
    for m in [trunk._conv_stem, trunk._bn0, *trunk._blocks[:blocks]]:
        for p in m.parameters():
            p.requires_grad = False


def training_mode(net):
    net.train()
    for m in net.trunk.modules():  # published statistics of the trunk are better than those of small batches
        if isinstance(m, torch.nn.BatchNorm2d):
            m.eval()


def load_stamps(root):
    """Cut-out photographs (PNG with transparency) below root."""
    items = []
    for path in sorted(glob.glob(os.path.join(root, "**", "*.png"), recursive=True)):
        x = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        if x is None or x.ndim != 3 or x.shape[2] != 4 or min(x.shape[:2]) < 60:
            continue
        s = min(1, 256 / max(x.shape[:2]))
        x = cv2.resize(x, None, fx=s, fy=s, interpolation=cv2.INTER_AREA)
        items.append(cv2.cvtColor(x, cv2.COLOR_BGRA2RGBA))
    return items


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True, help="folder with train/ and val/")
    p.add_argument("--extra", default="", help="folder with photos/ (more negatives) and stamps/ (cut-outs)")
    p.add_argument("--out", required=True, help="folder for checkpoints, caches and the log")
    p.add_argument("--without", default="", help="source prefixes to leave out of training, with commas (transfer test)")
    p.add_argument("--start-from", default="", help="checkpoint whose averaged weights to begin with")
    p.add_argument("--mined", default="", help="JSON of mine.py: pictures without fire that deserve more turns")
    p.add_argument("--size", type=int, default=256)
    p.add_argument("--batch", type=int, default=32)
    p.add_argument("--steps", type=int, default=2000)
    p.add_argument("--cooldown", type=int, default=500)
    p.add_argument("--warmup", type=int, default=60)
    p.add_argument("--rate", type=float, default=1.5e-3, help="learning rate of the new layers")
    p.add_argument("--trunk-rate", type=float, default=2e-4)
    p.add_argument("--freeze", type=int, default=3, help="blocks of the trunk that stay as published")
    p.add_argument("--last", type=int, default=13, help="blocks of the trunk that are used")
    p.add_argument("--decay", type=float, default=0.995)
    p.add_argument("--every", type=int, default=150, help="steps between evaluations")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--workers", type=int, default=1)
    return p.parse_args()


def main():
    a = arguments()
    torch.manual_seed(a.seed)
    cv2.setNumThreads(1)
    os.makedirs(a.out, exist_ok=True)
    caches = os.path.join(a.out, "..", "cache")
    pictures = data.read_folder(os.path.join(a.data, "train"))
    if a.extra:
        pictures += data.read_negatives(os.path.join(a.extra, "photos"))
    cache = data.Cache(os.path.join(caches, "train.u8"), pictures)
    stamps = load_stamps(os.path.join(a.extra, "stamps")) if a.extra else []
    val = data.read_folder(os.path.join(a.data, "val"))
    val_cache = data.Cache(os.path.join(caches, "val.u8"), val)
    keep = [i for i, p in enumerate(pictures) if p.source not in a.without.split(",")]
    used = [pictures[i] for i in keep]

    class View:  # the cache, by the numbering of `used`
        def __getitem__(self, i):
            return cache[keep[i]]

    net = FireNet(a.last)
    net.trunk.load_published()
    freeze(net, a.freeze)
    net = net.to(memory_format=torch.channels_last)
    if a.start_from:
        state = torch.load(a.start_from, map_location="cpu")["ema"]
        net.load_state_dict({k: state[k] for k in net.state_dict()})
    ema = copy.deepcopy(net)
    slow = [p for p in net.trunk.parameters() if p.requires_grad]
    fast = [p for n, p in net.named_parameters() if not n.startswith("trunk.")]
    rates = (a.trunk_rate, a.rate)
    opt = torch.optim.AdamW([{"params": slow}, {"params": fast}], lr=1e-3, weight_decay=0.02)

    last = os.path.join(a.out, "last.pt")
    step = 0
    if os.path.exists(last):
        state = torch.load(last, map_location="cpu")
        net.load_state_dict(state["net"])
        ema.load_state_dict(state["ema"])
        opt.load_state_dict(state["opt"])
        step = state["step"]
        print(f"resumed at step {step}", flush=True)

    hard = None
    if a.mined:
        with open(a.mined, encoding="utf-8") as f:
            found = json.load(f)
        hard = [0.3 + 4 * found.get(os.path.basename(p.path), 0) ** 2 for p in used]
    samples = Samples(View(), used, a.size, a.seed, step * a.batch, (a.steps - step) * a.batch, hard, stamps)
    print(f"{len(used)} pictures, {len(stamps)} cut-outs, " + ", ".join(f"{k} {len(v)}" for k, v in samples.kinds.items()), flush=True)
    loader = torch.utils.data.DataLoader(samples, a.batch, num_workers=a.workers, prefetch_factor=3)

    def keep_state():
        torch.save({"net": net.state_dict(), "ema": ema.state_dict(), "opt": opt.state_dict(), "step": step}, last + ".new")
        os.replace(last + ".new", last)

    began, sums, n, saved = time.time(), np.zeros(2), 0, time.time()
    training_mode(net)
    for x, t_heat, t_weight, t_image, t_image_weight in loader:
        factor = min(1.0, (step + 1) / a.warmup, (a.steps - step) / max(a.cooldown, 1))
        for group, rate in zip(opt.param_groups, rates):
            group["lr"] = rate * factor
        x = x.float().div_(255).contiguous(memory_format=torch.channels_last)
        heat, image = net(x)
        cell, img = losses(heat, image, t_heat, t_weight, t_image, t_image_weight)
        opt.zero_grad(set_to_none=True)
        (cell + 0.5 * img).backward()
        torch.nn.utils.clip_grad_norm_(slow + fast, 5.0)
        opt.step()
        step += 1
        average(ema, net, step, a.decay)
        sums += (cell.item(), img.item())
        n += 1
        if step % 25 == 0:
            print(
                f"step {step} cell {sums[0] / n:.4f} image {sums[1] / n:.4f} {n * a.batch / (time.time() - began):.1f} img/s",
                flush=True,
            )
            began, sums, n = time.time(), np.zeros(2), 0
        if time.time() - saved > 180:
            keep_state()
            saved = time.time()
        if step % a.every == 0 or step == a.steps:
            keep_state()
            heats, images = evaluate.score(ema, val_cache, range(len(val)), a.size)
            for share in (0.0, 0.5, 1.0):
                r = evaluate.report(val, evaluate.blend(heats.max((2, 3)), images, share))
                print(f"val step {step} share {share}: {evaluate.line(r)}", flush=True)
            with open(os.path.join(a.out, "val.json"), "w", encoding="utf-8") as f:
                json.dump({"step": step, "report": r}, f)
            began = time.time()


if __name__ == "__main__":
    main()
