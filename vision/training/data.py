"""Pictures, labels and the cache of decoded pixels.

A data folder has manifest.csv, images/ and labels/ (YOLO lines: class x_centre y_centre width height, relative;
class 0 = flame, 1 = smoke). The cache keeps every picture decoded in one file, so that training never waits for JPEG.
"""

import csv
import json
import os
from dataclasses import dataclass

import numpy as np

FLAME, SMOKE = 0, 1
CLASSES = ("flame", "smoke")


@dataclass
class Picture:
    path: str  # absolute
    boxes: np.ndarray  # (n, 5): class, x0, y0, x1, y1, relative to the picture
    knows: tuple  # (flame labelled, smoke labelled)

    @property
    def source(self):
        """Prefix of the file name, which names where the picture came from."""
        return os.path.basename(self.path).split("_")[0]

    def has(self, cls):
        return bool((self.boxes[:, 0] == cls).any())


def read_boxes(path):
    rows = []
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            if not line.strip():
                continue
            try:
                cls, x, y, w, h = (float(v) for v in line.split())
            except ValueError as e:
                raise ValueError(f"{path}:{n}: want 'class x y width height', got {line.strip()!r}") from e
            if cls not in (FLAME, SMOKE):
                raise ValueError(f"{path}:{n}: class {cls:g}, want 0 (flame) or 1 (smoke)")
            rows.append((cls, max(0, x - w / 2), max(0, y - h / 2), min(1, x + w / 2), min(1, y + h / 2)))
    return np.array(rows, np.float32).reshape(-1, 5)


def read_folder(root):
    """All pictures of a data folder in the order of its manifest."""
    pictures = []
    with open(os.path.join(root, "manifest.csv"), encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            labelled = row["classes_labelled"].split(",")
            pictures.append(
                Picture(
                    os.path.join(root, row["path"]),
                    read_boxes(os.path.join(root, row["label"])),
                    ("fire" in labelled, "smoke" in labelled),
                )
            )
    return pictures


def read_negatives(root):
    """Every picture below root as one that shows neither flame nor smoke."""
    found = []
    for folder, _, names in os.walk(root):
        for name in names:
            if name.lower().endswith((".jpg", ".jpeg", ".png", ".webp")):
                found.append(os.path.join(folder, name))
    return [Picture(p, np.zeros((0, 5), np.float32), (True, True)) for p in sorted(found)]


class Cache:
    """Decoded RGB pictures, longer side at most `side`, in one memory-mapped file."""

    def __init__(self, path, pictures, side=448):
        index = path + ".json"
        names = [p.path for p in pictures]
        known = None
        if os.path.exists(index):
            with open(index, encoding="utf-8") as f:
                known = json.load(f)
        if known is None or known["names"] != names or known["side"] != side:
            # Built aside and moved: another run may have the old file mapped.
            known = self._build(path + ".new", names, side)
            os.replace(path + ".new", path)
            with open(index, "w", encoding="utf-8") as f:
                json.dump(known, f)
        self.places = known["places"]
        self.pixels = np.memmap(path, np.uint8, "r")

    @staticmethod
    def _build(path, names, side):
        import cv2

        places, at = [], 0
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            for name in names:
                pixels = cv2.imread(name, cv2.IMREAD_COLOR)
                if pixels is None:
                    raise ValueError(f"{name}: not a picture that OpenCV reads")
                h, w = pixels.shape[:2]
                scale = side / max(h, w)
                if scale < 1:
                    size = (max(1, round(w * scale)), max(1, round(h * scale)))
                    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
                    h, w = pixels.shape[:2]
                f.write(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB).tobytes())
                places.append((at, h, w))
                at += h * w * 3
        return {"names": names, "side": side, "places": places}

    def __len__(self):
        return len(self.places)

    def __getitem__(self, i):
        at, h, w = self.places[i]
        return self.pixels[at : at + h * w * 3].reshape(h, w, 3)
