"""Which pictures make a batch, and how each is made. Sample k of a run is the same whenever it is made."""

import cv2
import numpy as np
import torch

import augment as aug
from data import FLAME, SMOKE

# Share of each kind in a batch.
MIX = (("flame", 0.34), ("smoke", 0.24), ("neither", 0.42))
DOUBTFUL = 0.4  # weight of "no smoke" beside flames
NONE = np.zeros((0, 5), np.float32)


class Samples(torch.utils.data.Dataset):
    """`length` samples from `pictures`, whose pixels are in `cache`; `hard` gives the chance of each negative."""

    def __init__(self, cache, pictures, size, seed, start, length, hard=None, stamps=()):
        self.cache, self.pictures, self.size, self.seed = cache, pictures, size, seed
        self.start, self.length, self.stamps = start, length, list(stamps)
        self.knows = [self._knows(p) for p in pictures]
        kinds = {"flame": [], "smoke": [], "neither": []}
        for i, p in enumerate(pictures):
            if p.has(SMOKE):
                kinds["smoke"].append(i)
            if p.has(FLAME):
                kinds["flame"].append(i)
            if not len(p.boxes) and all(p.knows):
                kinds["neither"].append(i)
        self.kinds = {k: np.array(v) for k, v in kinds.items()}
        # Sources count alike among flames, so that the larger one does not decide what a flame looks like.
        sources = [pictures[i].source for i in kinds["flame"]]
        w = np.array([1 / sources.count(s) for s in sources])
        self.weights = {"flame": w / w.sum(), "smoke": None, "neither": None}
        if hard is not None:
            w = np.array([hard[i] for i in kinds["neither"]], np.float64)
            self.weights["neither"] = w / w.sum()

    @staticmethod
    def _knows(p):
        """How far the labels are believed, by class. Fires without a smoke box often have smoke that nobody labelled."""
        smoke = float(p.knows[SMOKE])
        if smoke and p.has(FLAME) and not p.has(SMOKE):
            smoke = DOUBTFUL
        return (float(p.knows[FLAME]), smoke)

    def __len__(self):
        return self.length

    def _pick(self, rng, kind):
        return int(rng.choice(self.kinds[kind], p=self.weights[kind]))

    def _one(self, rng, kind=None):
        if kind is None:
            kind = MIX[int(rng.choice(3, p=[m[1] for m in MIX]))][0]
        if kind == "neither" and aug.chance(rng, 0.2):
            i = self._pick(rng, "smoke" if aug.chance(rng, 0.6) else "flame")
            got = aug.empty_part(rng, self.cache[i], self.pictures[i].boxes, self.size)
            if got is not None:
                return got[0], NONE, (1.0, self.knows[i][SMOKE] * got[1])
        i = self._pick(rng, kind)
        x, boxes = aug.crop(rng, self.cache[i], self.pictures[i].boxes, self.size)
        if aug.chance(rng, 0.5):
            x = x[:, ::-1]
            boxes = boxes.copy()
            boxes[:, [1, 3]] = 1 - boxes[:, [3, 1]]
        return np.ascontiguousarray(x), boxes, self.knows[i]

    def _stamp(self, rng, x):
        """A photographed thing (food, animal, vessel) laid over the picture."""
        item = self.stamps[int(rng.integers(0, len(self.stamps)))]
        n = self.size
        side = int(n * rng.uniform(0.15, 0.8))
        h, w = item.shape[:2]
        h, w = max(4, int(h * side / max(h, w))), max(4, int(w * side / max(h, w)))
        item = cv2.resize(item, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
        px, py = int(rng.integers(0, n - w + 1)), int(rng.integers(0, n - h + 1))
        a = item[..., 3:] / 255
        x = x.astype(np.float32)
        x[py : py + h, px : px + w] = x[py : py + h, px : px + w] * (1 - a) + item[..., :3] * a
        return x.astype(np.uint8)

    def _make(self, rng):
        how = rng.random()
        if how < 0.16:
            parts = [self._one(rng) for _ in range(4)]
            knows = tuple(min(p[2][c] for p in parts) for c in (0, 1))
            return *aug.mosaic(rng, [p[:2] for p in parts], self.size), knows
        x, boxes, knows = self._one(rng)
        if how < 0.24 and len(boxes):
            base, _, _ = self._one(rng, "neither")
            return *aug.inset(rng, base, x, boxes), knows
        if not np.isin(boxes[:, 0], (FLAME, -1 - FLAME)).any() and aug.chance(rng, 0.14):
            # No flame, in flame's colours. Smoke in them may as well be a cloud at sunset: nothing is said about it.
            x = aug.evening(rng, x)
            knows = (knows[FLAME], 0.0 if len(boxes) else knows[SMOKE])
        if not len(boxes):
            how = rng.random()
            if how < 0.07:
                x = aug.sky(rng, self.size)
            elif how < 0.14:
                x = aug.lamps(rng, x)
            elif how < 0.20:
                x = aug.cloth(rng, x)
            elif how < 0.32 and self.stamps:
                for _ in range(int(rng.integers(1, 4))):
                    x = self._stamp(rng, x)
            how = rng.random()
            if how < 0.10:
                i = self._pick(rng, "flame")
                flames = self.pictures[i].boxes[self.pictures[i].boxes[:, 0] == FLAME]
                box = flames[int(rng.integers(0, len(flames)))]
                x, boxes = aug.add_flame(rng, x, boxes, self.cache[i], box)
            elif how < 0.17:
                x, boxes = aug.add_smoke(rng, x, boxes)
        return x, boxes, knows

    def __getitem__(self, k):
        rng = np.random.default_rng((self.seed, self.start + k))
        x, boxes, knows = self._make(rng)
        x = np.ascontiguousarray(aug.camera(rng, x))
        heat, weight, image, image_weight = aug.targets(boxes, self.size, knows)
        return (
            torch.from_numpy(x.transpose(2, 0, 1).copy()),
            torch.from_numpy(heat),
            torch.from_numpy(weight),
            torch.from_numpy(image),
            torch.from_numpy(image_weight),
        )
