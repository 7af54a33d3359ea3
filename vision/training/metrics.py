"""Figures of merit, in plain numpy and with the same definitions as the Go command `evaluate`.

Image level: ROC-AUC and average precision set the pictures that have a class against all without it; recall at a rate of
false positives, and a second ROC-AUC, against the pictures that have neither flame nor smoke.
Pictures of a source that does not label smoke are left out of the smoke figures.
"""

import numpy as np


def roc_auc(positive, negative):
    """Chance that a positive scores above a negative; ties count half."""
    positive, negative = np.asarray(positive, float), np.sort(np.asarray(negative, float))
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, "left")
    upto = np.searchsorted(negative, positive, "right")
    return float((below + upto).mean() / 2 / len(negative))


def average_precision(positive, negative):
    """Area under precision over recall as a step function, equal scores taken together."""
    scores = np.concatenate([positive, negative])
    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    order = np.argsort(-scores, kind="stable")
    scores, truth = scores[order], truth[order]
    last = np.append(np.diff(scores) != 0, True)
    hits = np.cumsum(truth)[last]
    seen = (np.arange(len(scores)) + 1)[last]
    recall = hits / max(len(positive), 1)
    return float(np.sum(np.diff(recall, prepend=0) * hits / seen))


def threshold_at(negative, rate):
    """Smallest threshold at which at most `rate` of the negatives score strictly above it."""
    negative = np.sort(np.asarray(negative, float))[::-1]
    return float(negative[min(int(np.floor(rate * len(negative))), len(negative) - 1)])


def recall_at(positive, negative, rate):
    """Share of positives strictly above threshold_at(negative, rate)."""
    return float((np.asarray(positive) > threshold_at(negative, rate)).mean())


def summary(positive, negative, without):
    """negative: pictures with neither flame nor smoke; without: those without this class, whatever else they show."""
    return {
        "positives": len(positive),
        "negatives": len(negative),
        "roc_auc": roc_auc(positive, without),
        "average_precision": average_precision(positive, without),
        "roc_auc_neither": roc_auc(positive, negative),
        "recall_at_1_percent": recall_at(positive, negative, 0.01),
        "recall_at_5_percent": recall_at(positive, negative, 0.05),
    }


def basins(heat, grow, saddle):
    """Groups of cells of at least `grow`, as the Go code makes them: for each its peak and the list of its (row, column).

    Cells are taken from the hottest down. One without a hotter neighbour (corners touch) begins a group, others join the
    highest they touch, and groups become one where the cell between them has `saddle` times the lower one's peak.
    """
    h, w = heat.shape
    of, parent, peak = {}, [], []

    def root(k):
        while parent[k] != k:
            k = parent[k]
        return k

    order = [divmod(int(k), w) for k in np.argsort(-heat, axis=None, kind="stable")]
    for r, c in order:
        if heat[r, c] < grow:
            break
        cells = ((r + v, c + u) for v in (-1, 0, 1) for u in (-1, 0, 1))
        near = [root(of[cell]) for cell in cells if cell in of]
        if not near:
            of[r, c] = len(parent)
            parent.append(len(parent))
            peak.append(heat[r, c])
            continue
        highest = max(near, key=lambda k: peak[k])
        of[r, c] = highest
        for lower in near:
            lower = root(lower)
            if lower != highest and heat[r, c] >= saddle * peak[lower]:
                parent[lower] = highest
    groups = {}
    for cell, k in of.items():
        groups.setdefault(root(k), []).append(cell)
    return [(peak[k], group) for k, group in sorted(groups.items())]


def boxes_of(heat, seed, grow, min_cells=1, saddle=0.0, edge=0.0):
    """Boxes x0, y0, x1, y1, relative to the picture: groups with a peak of at least `seed`, without cells below `edge` times it."""
    h, w = heat.shape
    found = []
    for peak, group in basins(heat, grow, saddle):
        group = [cell for cell in group if heat[cell] >= edge * peak]
        if len(group) < min_cells or peak < seed:
            continue
        rows, columns = [r for r, _ in group], [c for _, c in group]
        found.append((min(columns) / w, min(rows) / h, (max(columns) + 1) / w, (max(rows) + 1) / h))
    return found


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    inter = w * h
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


def box_recall(found, truth, least=0.3):
    """(boxes found, boxes there): a true box counts as found when some found box overlaps it by `least`."""
    hit = sum(any(iou(t, f) >= least for f in found) for t in truth)
    return hit, len(truth)
