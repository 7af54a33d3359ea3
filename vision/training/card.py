"""Measures the exported ONNX in OpenCV as the gateway runs it, and writes model.json and MODEL_CARD.md.

The figures of the transfer test come from a network that was trained by the same recipe without some sources and
judged on those only (--transfer, made by transfer.py). Thresholds are set there, not on val.
"""

import argparse
import collections
import csv
import json
import os
import string

import cv2
import numpy as np

import data
import evaluate
import export
import metrics
from data import CLASSES, FLAME, SMOKE

SIZE, STRIDE = 256, 8


def run(path, pictures):
    """Heat maps and image scores of the ONNX file, picture by picture, from the files as they lie on the disk."""
    net = cv2.dnn.readNetFromONNX(path)
    heats, images = [], []
    for p in pictures:
        pixels = cv2.cvtColor(cv2.imread(p.path, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        x = evaluate.frame(pixels, SIZE).astype(np.float32) / 255
        net.setInput(x.transpose(2, 0, 1)[None].copy(), "image")
        heat, image = net.forward(["heat", "image_score"])
        heats.append(heat[0])
        images.append(image[0])
    return np.stack(heats), np.stack(images)


def box_figures(pictures, heats, rules):
    rows = []
    sources = ["all", *sorted({p.source for p in pictures if len(p.boxes)})]
    for source in sources:
        for cls in (FLAME, SMOKE):
            hit = there = 0
            for p, heat in zip(pictures, heats):
                if source not in ("all", p.source) or not p.knows[cls]:
                    continue
                rule = rules[CLASSES[cls]]
                found = metrics.boxes_of(heat[cls], **rule)
                h, t = metrics.box_recall(found, p.boxes[p.boxes[:, 0] == cls, 1:])
                hit, there = hit + h, there + t
            if there:
                rows.append((source, CLASSES[cls], there, hit / there))
    return rows


def image_table(report):
    lines = [
        "| class | pictures with / with neither | ROC-AUC | AP | ROC-AUC, neither | recall at 1 % FP | recall at 5 % FP |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, r in report.items():
        lines.append(
            f"| {name} | {r['positives']} / {r['negatives']} | {r['roc_auc']:.4f} | {r['average_precision']:.4f} "
            f"| {r['roc_auc_neither']:.4f} | {r['recall_at_1_percent']:.3f} | {r['recall_at_5_percent']:.3f} |"
        )
    return "\n".join(lines)


def source_table(pictures, scores, thresholds):
    lines = ["| source | pictures | flame | seen | smoke | seen | neither | flame seen | smoke seen |", "|---|---|---|---|---|---|---|---|---|"]
    for source in sorted({p.source for p in pictures}):
        mine = [i for i, p in enumerate(pictures) if p.source == source]
        cells = [source, str(len(mine))]
        for cls in (FLAME, SMOKE):
            has = [i for i in mine if pictures[i].has(cls)]
            seen = sum(scores[i, cls] >= thresholds[CLASSES[cls]] for i in has)
            cells += [str(len(has)), f"{seen / len(has):.3f}" if has else "–"]
        none = [i for i in mine if not len(pictures[i].boxes)]
        cells.append(str(len(none)))
        for cls in (FLAME, SMOKE):
            seen = sum(scores[i, cls] >= thresholds[CLASSES[cls]] for i in none)
            cells.append(f"{seen / len(none):.3f}" if none else "–")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def origins(root):
    """Pictures by source, with the licence as the manifest states it."""
    count = collections.Counter()
    for part in ("train", "val"):
        with open(os.path.join(root, part, "manifest.csv"), encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                prefix = os.path.basename(row["path"]).split("_")[0]
                count[prefix, row["source_repo"], row["licence"], row["classes_labelled"], part] += 1
    lines = ["| prefix | source | train / val | labelled | licence as stated |", "|---|---|---|---|---|"]
    for prefix, repo, licence, labelled, _ in sorted({k[:4] + ("",) for k in count}):
        n = [count[prefix, repo, licence, labelled, part] for part in ("train", "val")]
        lines.append(f"| `{prefix}_` | {repo} | {n[0]} / {n[1]} | {labelled.replace('fire', 'flame').replace(',', ', ')} | {licence} |")
    return "\n".join(lines)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--onnx", required=True)
    p.add_argument("--settings", required=True, help="JSON: version, score, thresholds, boxes, tiles")
    p.add_argument("--transfer", required=True, help="Markdown that transfer.py wrote")
    p.add_argument("--model-json", required=True)
    p.add_argument("--card", required=True)
    a = p.parse_args()
    with open(a.settings, encoding="utf-8") as f:
        chosen = json.load(f)
    with open(a.transfer, encoding="utf-8") as f:
        transfer = f.read().strip()
    digest = export.sha256(a.onnx)
    model = {
        "name": "shedguard-fire",
        "version": chosen["version"],
        "input": {
            "name": "image", "width": SIZE, "height": SIZE, "color": "RGB", "scale": 1 / 255,
            "mean": [0, 0, 0], "std": [1, 1, 1], "resize": "stretch", "interpolation": "area",
        },
        "outputs": {"heat": "heat", "image_score": "image_score"},
        "classes": list(CLASSES),
        "stride": STRIDE,
        "score": chosen["score"],
        "thresholds": chosen["thresholds"],
        "boxes": chosen["boxes"],
        "tiles": chosen["tiles"],
    }  # fmt: skip
    with open(a.model_json, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in model.items()) + "\n}\n")

    val = data.read_folder(os.path.join(a.data, "val"))
    heats, images = run(a.onnx, val)
    scores = evaluate.blend(heats.max((2, 3)), images, chosen["score"]["image_share"])
    report = evaluate.report(val, scores)
    print(evaluate.line(report))
    thresholds = chosen["thresholds"]
    boxes = ["| source | class | boxes | recall at IoU 0.3 |", "|---|---|---|---|"]
    boxes += [f"| {s} | {c} | {n} | {r:.3f} |" for s, c, n, r in box_figures(val, heats, chosen["boxes"])]
    speed = {t: export.timing(a.onnx, SIZE, t) for t in (1, 2)}
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "card.md"), encoding="utf-8") as f:
        card = string.Template(f.read())
    with open(a.card, "w", encoding="utf-8") as f:
        f.write(
            card.substitute(
                version=chosen["version"],
                sha256=digest,
                megabytes=f"{os.path.getsize(a.onnx) / 1e6:.1f}",
                share=chosen["score"]["image_share"],
                flame=thresholds["flame"],
                smoke=thresholds["smoke"],
                origins=origins(a.data),
                val=image_table(report),
                sources=source_table(val, scores, thresholds),
                boxes="\n".join(boxes),
                transfer=transfer,
                one=f"{speed[1]['median']} (least {speed[1]['least']})",
                two=f"{speed[2]['median']} (least {speed[2]['least']})",
                cpu=speed[1]["processor"],
            )
        )


if __name__ == "__main__":
    main()
