"""Training samples: one picture (or several put together) as a camera in a shed might show it, and its targets.

Everything here works on uint8 RGB and on boxes (class, x0, y0, x1, y1) relative to the picture. Random numbers come
from a generator that the caller seeds per sample, so that a training run can be repeated and resumed.
"""

import cv2
import numpy as np

from data import FLAME, SMOKE

STRIDE = 8  # pixels of the input to a cell of the heat map

# Weights of cells whose label is doubtful.
NEAR_BOX = 0.0  # corners and rim of a box: flames are not rectangles
REST_OF_POSITIVE = 0.35  # elsewhere in a picture that has the class: not all is labelled there


def chance(rng, p):
    return rng.random() < p


def crop(rng, pixels, boxes, size, lowest=0.45):
    """A random part of the picture, stretched to the square input, with the boxes that remain."""
    h, w = pixels.shape[:2]
    if chance(rng, 0.35):
        cw, ch = w, h
    else:
        area = rng.uniform(lowest, 1.0)
        aspect = np.exp(rng.uniform(-0.35, 0.35))
        cw = int(np.clip(w * np.sqrt(area * aspect), 32, w))
        ch = int(np.clip(h * np.sqrt(area / aspect), 32, h))
    x, y = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
    part = pixels[y : y + ch, x : x + cw]
    how = cv2.INTER_AREA if chance(rng, 0.6) else cv2.INTER_LINEAR
    out = cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=how)
    return out, clip(boxes, x / w, y / h, cw / w, ch / h)


def empty_part(rng, pixels, boxes, size):
    """A part of the picture clear of all boxes, and whether it lies so low that it is free of smoke too; or None.

    Such parts have the look of the pictures with fire and no fire, so that the look alone is not learnt.
    """
    h, w = pixels.shape[:2]
    for _ in range(12):
        cw, ch = rng.uniform(0.3, 0.8), rng.uniform(0.3, 0.8)
        x, y = rng.uniform(0, 1 - cw), rng.uniform(0, 1 - ch)
        m = 0.04
        meets = (boxes[:, 1] - m < x + cw) & (boxes[:, 3] + m > x) & (boxes[:, 2] - m < y + ch) & (boxes[:, 4] + m > y)
        if meets.any():
            continue
        part = pixels[int(y * h) : int((y + ch) * h), int(x * w) : int((x + cw) * w)]
        middle = (boxes[:, 2] + boxes[:, 4]) / 2
        out = cv2.resize(np.ascontiguousarray(part), (size, size), interpolation=cv2.INTER_AREA)
        return out, bool((y > middle).all())
    return None


def clip(boxes, x, y, w, h):
    """Boxes in the coordinates of a part; a class -1 marks what is too much cut to call it seen or unseen."""
    if not len(boxes):
        return boxes
    out = boxes.copy()
    area = (boxes[:, 3] - boxes[:, 1]) * (boxes[:, 4] - boxes[:, 2])
    out[:, [1, 3]] = np.clip((boxes[:, [1, 3]] - x) / w, 0, 1)
    out[:, [2, 4]] = np.clip((boxes[:, [2, 4]] - y) / h, 0, 1)
    left = (out[:, 3] - out[:, 1]) * (out[:, 4] - out[:, 2])
    out = out[left > 0]
    kept = left[left > 0] * w * h / np.maximum(area[left > 0], 1e-9)
    seen = (kept > 0.25) | (left[left > 0] > 0.04)
    out[~seen, 0] = -1 - out[~seen, 0]
    return out


def targets(boxes, size, knows):
    """Heat map, its weights, image label and its weights. Flame first, smoke second. knows: 0 to 1 by class."""
    n = size // STRIDE
    heat = np.zeros((2, n, n), np.float32)
    weight = np.ones((2, n, n), np.float32)
    image = np.zeros(2, np.float32)
    image_weight = np.ones(2, np.float32)
    centre = (np.arange(n, dtype=np.float32) + 0.5) / n
    for cls in (FLAME, SMOKE):
        if not knows[cls]:
            weight[cls] = 0
            image_weight[cls] = 0
            continue
        weight[cls] *= knows[cls] ** 2
        image_weight[cls] = knows[cls]
        mine = boxes[boxes[:, 0] == cls]
        cut = boxes[boxes[:, 0] == -1 - cls]
        if len(mine):
            image[cls] = image_weight[cls] = 1
            weight[cls] = REST_OF_POSITIVE
        elif len(cut):
            image_weight[cls] = 0
        rim = 1.0 / n if cls == FLAME else 2.5 / n
        core = 0.85 if cls == FLAME else 0.75
        for b in np.concatenate([mine, cut]):
            near = _span(centre, b[1] - rim, b[3] + rim)[None, :] & _span(centre, b[2] - rim, b[4] + rim)[:, None]
            weight[cls][near] = NEAR_BOX
        for b in mine:
            cx, cy = (b[1] + b[3]) / 2, (b[2] + b[4]) / 2
            rx, ry = max((b[3] - b[1]) / 2 * core, 0.5 / n), max((b[4] - b[2]) / 2 * core, 0.5 / n)
            inside = ((centre[None, :] - cx) / rx) ** 2 + ((centre[:, None] - cy) / ry) ** 2 <= 1
            inside[min(int(cy * n), n - 1), min(int(cx * n), n - 1)] = True
            heat[cls][inside] = 1
            weight[cls][inside] = 1
    return heat, weight, image, image_weight


def _span(centre, lo, hi):
    return (centre > lo) & (centre < hi)


# ---- what cameras do -------------------------------------------------------------------------------------------


def camera(rng, x):
    """Colour, light, blur, noise and compression, a few of them at a time."""
    if chance(rng, 0.10):
        x = monochrome(rng, x)
    else:
        if chance(rng, 0.25):
            x = pale(rng, x)
        if chance(rng, 0.55):
            x = tint(rng, x)
    if chance(rng, 0.5):
        x = light(rng, x)
    if chance(rng, 0.08):
        x = veil(rng, x)
    if chance(rng, 0.15):
        x = motion(rng, x)
    if chance(rng, 0.35):
        x = shrink(rng, x)
    if chance(rng, 0.08):
        x = drops(rng, x)
    if chance(rng, 0.08):
        x = bulge(rng, x)
    if chance(rng, 0.3):
        x = noise(rng, x)
    if chance(rng, 0.2):
        x = stamp(rng, x)
    if chance(rng, 0.45):
        ok, code = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(12, 75))])
        x = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return x


def monochrome(rng, x):
    """Infrared night picture: grey, strong contrast, hot things burnt out."""
    mix = rng.dirichlet((3, 2, 1)).astype(np.float32)
    g = x.astype(np.float32) @ mix
    g = 255 * np.clip(g / 255 * rng.uniform(0.8, 1.8), 0, 1) ** rng.uniform(0.7, 1.5)
    g = np.repeat(g[:, :, None], 3, 2)
    if chance(rng, 0.4):
        g = g * rng.uniform(0.85, 1.0, 3)
    return g.astype(np.uint8)


def pale(rng, x):
    """Over-exposed: what is bright loses its colour, as flames do on cheap sensors (white, yellow or pink)."""
    f = x.astype(np.float32)
    peak = f.max(2, keepdims=True)
    start = rng.uniform(120, 200)
    a = np.clip((peak - start) / (255 - start + 1e-3), 0, 1) * rng.uniform(0.4, 1.0)
    white = np.array([255, rng.uniform(205, 255), rng.uniform(190, 255)], np.float32)
    f = f * rng.uniform(1.0, 1.5)
    return np.clip(f * (1 - a) + white * a, 0, 255).astype(np.uint8)


def tint(rng, x):
    """White balance, saturation and hue; warm light more often than cold."""
    f = x.astype(np.float32)
    grey = f.mean(2, keepdims=True)
    f = grey + (f - grey) * rng.uniform(0.15, 1.5)
    warm = rng.normal(0.05, 0.18)
    f *= np.array([1 + warm, 1 + rng.normal(0, 0.06), 1 - warm], np.float32)
    f = np.clip(f, 0, 255).astype(np.uint8)
    if chance(rng, 0.3):
        hsv = cv2.cvtColor(f, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + int(rng.integers(-10, 11))) % 180
        f = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return f


def light(rng, x):
    gamma = np.exp(rng.normal(0, 0.4))
    gain = np.exp(rng.normal(-0.05, 0.25))
    table = np.clip((np.arange(256) / 255) ** gamma * gain * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(x, table)


def veil(rng, x):
    """A dirty or misted dome: less contrast over the whole picture. Too even to be smoke."""
    a = rng.uniform(0.1, 0.45)
    return (x.astype(np.float32) * (1 - a) + rng.uniform(90, 200) * a).astype(np.uint8)


def motion(rng, x):
    n = int(rng.integers(3, 12))
    kernel = np.zeros((n, n), np.float32)
    angle = rng.uniform(0, np.pi)
    dx, dy = np.cos(angle) * n / 2, np.sin(angle) * n / 2
    cv2.line(kernel, (int(n / 2 - dx), int(n / 2 - dy)), (int(n / 2 + dx), int(n / 2 + dy)), 1.0)
    return cv2.filter2D(x, -1, kernel / max(kernel.sum(), 1))


def shrink(rng, x):
    """A poor stream: scaled down, then up again."""
    n = x.shape[0]
    m = int(n * rng.uniform(0.3, 0.9))
    small = cv2.resize(x, (m, m), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (n, n), interpolation=cv2.INTER_LINEAR if chance(rng, 0.8) else cv2.INTER_NEAREST)


def drops(rng, x):
    """Rain on the dome: round places where the picture is displaced and blurred, and streaks."""
    n = x.shape[0]
    blurred = cv2.GaussianBlur(np.roll(x, int(rng.integers(-12, 13)), 0), (0, 0), 4)
    mask = np.zeros((n, n), np.float32)
    for _ in range(int(rng.integers(3, 25))):
        c = (int(rng.integers(0, n)), int(rng.integers(0, n)))
        cv2.ellipse(mask, c, (int(rng.integers(2, 12)), int(rng.integers(2, 16))), 0, 0, 360, 1.0, -1)
    if chance(rng, 0.5):
        for _ in range(int(rng.integers(20, 80))):
            a, b = int(rng.integers(0, n)), int(rng.integers(0, n))
            cv2.line(mask, (a, b), (a + int(rng.integers(-2, 3)), b + int(rng.integers(5, 20))), 0.5)
    mask = cv2.GaussianBlur(mask, (0, 0), 1.2)[:, :, None]
    return (x * (1 - mask) + np.minimum(blurred * 1.1 + 8, 255) * mask).astype(np.uint8)


def bulge(rng, x):
    """Wide-angle lens; slight enough for the boxes to stay true."""
    n = x.shape[0]
    k = rng.uniform(0.05, 0.25)
    g = np.linspace(-1, 1, n, dtype=np.float32)
    r2 = g[None, :] ** 2 + g[:, None] ** 2
    s = (1 + k * r2) / (1 + 2 * k)
    half = (n - 1) / 2
    return cv2.remap(x, (g[None, :] * s + 1) * half, (g[:, None] * s + 1) * half, cv2.INTER_LINEAR)


def noise(rng, x):
    sigma = rng.uniform(2, 16)
    grain = rng.normal(0, sigma, x.shape[:2] + (1 if chance(rng, 0.5) else 3,))
    return np.clip(x + grain, 0, 255).astype(np.uint8)


def stamp(rng, x):
    """Date and camera name as recorders write them."""
    x = np.ascontiguousarray(x)
    n = x.shape[0]
    for _ in range(int(rng.integers(1, 3))):
        text = "20%02d-%02d-%02d %02d:%02d:%02d" % tuple(rng.integers(0, (30, 13, 29, 24, 60, 60)))
        if chance(rng, 0.4):
            text = "CAM %02d" % rng.integers(0, 99)
        at = (int(rng.integers(0, n // 2)), int(rng.choice([12, 20, n - 8, n - 16])))
        colour = [(255, 255, 255), (255, 255, 0), (0, 255, 0), (255, 60, 40), (0, 0, 0)][int(rng.integers(0, 5))]
        cv2.putText(x, text, at, int(rng.integers(0, 3)), rng.uniform(0.3, 0.55), colour, 1, cv2.LINE_AA)
    return x


# ---- pictures put together -------------------------------------------------------------------------------------


def cloud(rng, n, detail=5):
    """Fractal noise 0..1."""
    out = np.zeros((n, n), np.float32)
    for i in range(1, detail + 1):
        grid = rng.random((2**i + 1, 2**i + 1)).astype(np.float32)
        out += cv2.resize(grid, (n, n), interpolation=cv2.INTER_CUBIC) / 2**i
    out -= out.min()
    return out / max(out.max(), 1e-6)


def add_smoke(rng, x, boxes):
    """A rendered plume: fractal noise inside a widening column. Returns the picture and its boxes."""
    n = x.shape[0]
    if chance(rng, 0.5):
        w, h = int(n * rng.uniform(0.15, 0.5)), int(n * rng.uniform(0.2, 0.8))
    else:
        w, h = int(n * rng.uniform(0.2, 0.9)), int(n * rng.uniform(0.15, 0.5))
    x0, y0 = int(rng.integers(0, n - w + 1)), int(rng.integers(0, n - h + 1))
    side = max(w, h)
    puff = cv2.resize(cloud(rng, side, 6), (w, h))
    v = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    u = np.linspace(-1, 1, w, dtype=np.float32)[None, :]
    lean = rng.uniform(-0.5, 0.5)
    width = 0.12 + (0.75 + rng.uniform(-0.2, 0.2)) * (1 - v) ** rng.uniform(0.5, 1.2)
    column = np.exp(-(((u - lean * (1 - v)) / width) ** 2) * 1.6) * np.minimum(1, np.minimum(v * 5, (1 - v) * 12 + 0.15))
    edge = np.clip((1 - np.abs(u)) * 5, 0, 1)
    a = np.clip((puff * 1.7 - rng.uniform(0.25, 0.6)), 0, 1) * column * edge * rng.uniform(0.45, 1.0)
    strong = a > 0.12
    if strong.sum() < 40:
        return x, boxes
    shade = rng.uniform(20, 90) if chance(rng, 0.35) else rng.uniform(130, 245)
    tone = shade * (0.8 + 0.35 * cv2.resize(cloud(rng, side, 4), (w, h)))[:, :, None]
    tone = tone * (1 + rng.normal(0, 0.03, 3))
    out = x.astype(np.float32)
    part = out[y0 : y0 + h, x0 : x0 + w]
    out[y0 : y0 + h, x0 : x0 + w] = part * (1 - a[:, :, None]) + tone * a[:, :, None]
    ys, xs = np.where(strong)
    box = [SMOKE, (x0 + xs.min()) / n, (y0 + ys.min()) / n, (x0 + xs.max() + 1) / n, (y0 + ys.max() + 1) / n]
    return np.clip(out, 0, 255).astype(np.uint8), np.concatenate([boxes, np.array([box], np.float32)])


def add_flame(rng, x, boxes, donor, box):
    """A real flame cut out of another picture by its brightness and laid over this one, with a glow around it."""
    n = x.shape[0]
    h, w = donor.shape[:2]
    x0, y0, x1, y1 = int(box[1] * w), int(box[2] * h), int(np.ceil(box[3] * w)), int(np.ceil(box[4] * h))
    if x1 - x0 < 8 or y1 - y0 < 8:
        return x, boxes
    part = donor[y0:y1, x0:x1]
    tall = int(n * np.exp(rng.uniform(np.log(0.05), np.log(0.4))))
    wide = int(np.clip(tall * (x1 - x0) / (y1 - y0) * np.exp(rng.normal(0, 0.15)), 5, n * 0.6))
    tall = max(tall, 6)
    part = cv2.resize(part, (wide, tall), interpolation=cv2.INTER_AREA).astype(np.float32)
    if chance(rng, 0.5):
        part = part[:, ::-1]
    level = part[..., 0] * 0.6 + part[..., 1] * 0.4
    lo, hi = np.percentile(level, 30), np.percentile(level, 85)
    a = np.clip((level - lo) / max(hi - lo, 10), 0, 1)
    u = np.linspace(-1, 1, wide, dtype=np.float32)[None, :]
    v = np.linspace(-1, 1, tall, dtype=np.float32)[:, None]
    a = a * np.clip(2.5 * (1.15 - u**2 - v**2), 0, 1)
    a = cv2.GaussianBlur(a, (0, 0), 0.7)
    if (a > 0.4).sum() < 8 or hi < 90:
        return x, boxes
    px, py = int(rng.integers(0, n - wide + 1)), int(rng.integers(0, n - tall + 1))
    out = x.astype(np.float32)
    if chance(rng, 0.6):
        out *= rng.uniform(0.35, 1.0)
    if chance(rng, 0.6):
        yy, xx = np.mgrid[0:n, 0:n].astype(np.float32)
        r = ((xx - px - wide / 2) ** 2 + (yy - py - tall / 2) ** 2) / (max(wide, tall) * rng.uniform(0.6, 1.6)) ** 2
        glow = np.exp(-r)[:, :, None] * np.array([110, 60, 20], np.float32) * rng.uniform(0.2, 1.0)
        out = out + glow * (0.3 + out / 255)
    place = out[py : py + tall, px : px + wide]
    out[py : py + tall, px : px + wide] = np.maximum(place, part) * a[:, :, None] + place * (1 - a[:, :, None])
    new = np.array([[FLAME, px / n, py / n, (px + wide) / n, (py + tall) / n]], np.float32)
    return np.clip(out, 0, 255).astype(np.uint8), np.concatenate([boxes, new])


def inset(rng, x, small, boxes):
    """The picture `small` (square, with boxes) put into x at a fraction of its size: far-away fires."""
    n = x.shape[0]
    w, h = int(n * rng.uniform(0.25, 0.6)), int(n * rng.uniform(0.25, 0.6))
    px, py = int(rng.integers(0, n - w + 1)), int(rng.integers(0, n - h + 1))
    out = x.copy()
    out[py : py + h, px : px + w] = cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA)
    moved = boxes.copy()
    moved[:, [1, 3]] = (boxes[:, [1, 3]] * w + px) / n
    moved[:, [2, 4]] = (boxes[:, [2, 4]] * h + py) / n
    return out, moved


def mosaic(rng, parts, size):
    """Four square pictures with boxes around a random cross."""
    cx, cy = int(size * rng.uniform(0.3, 0.7)), int(size * rng.uniform(0.3, 0.7))
    out = np.zeros((size, size, 3), np.uint8)
    all_boxes = []
    corners = ((0, 0, cx, cy), (cx, 0, size, cy), (0, cy, cx, size), (cx, cy, size, size))
    for (pixels, boxes), (x0, y0, x1, y1) in zip(parts, corners):
        out[y0:y1, x0:x1] = cv2.resize(pixels, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
        moved = boxes.copy()
        moved[:, [1, 3]] = (boxes[:, [1, 3]] * (x1 - x0) + x0) / size
        moved[:, [2, 4]] = (boxes[:, [2, 4]] * (y1 - y0) + y0) / size
        all_boxes.append(moved)
    return out, np.concatenate(all_boxes)


# ---- things that look like fire --------------------------------------------------------------------------------


def sky(rng, n):
    """A drawn evening sky: warm gradient, clouds, perhaps the sun, perhaps a dark skyline."""
    v = np.linspace(0, 1, n, dtype=np.float32)[:, None, None]
    warm = np.array([rng.uniform(200, 255), rng.uniform(70, 190), rng.uniform(10, 120)], np.float32)
    cold = np.array([rng.uniform(20, 170), rng.uniform(30, 140), rng.uniform(60, 200)], np.float32)
    x = cold * (1 - v) + warm * v
    x = np.repeat(x, n, 1)
    c = cv2.resize(cloud(rng, n, 6), (n, n))
    band = cv2.resize(c[:, : max(8, n // int(rng.integers(2, 6)))], (n, n), interpolation=cv2.INTER_CUBIC)
    a = np.clip(band * 1.6 - rng.uniform(0.4, 0.9), 0, 1)[:, :, None] * rng.uniform(0.2, 0.9)
    shade = np.array([rng.uniform(60, 255), rng.uniform(40, 200), rng.uniform(50, 170)], np.float32)
    x = x * (1 - a) + shade * a
    horizon = int(n * rng.uniform(0.55, 1.0))
    if chance(rng, 0.6):
        sx, sy, r = rng.uniform(0, n), rng.uniform(0, horizon), n * rng.uniform(0.01, 0.09)
        yy, xx = np.mgrid[0:n, 0:n].astype(np.float32)
        d = np.sqrt((xx - sx) ** 2 + (yy - sy) ** 2)
        disc = np.clip((r - d) / 2 + 0.5, 0, 1)[:, :, None]
        glow = np.exp(-d / (r * rng.uniform(1.5, 6)))[:, :, None]
        x = x + glow * (np.array([255, 225, 140], np.float32) - x) * 0.8
        x = x * (1 - disc) + np.array([255, 248, rng.uniform(150, 235)], np.float32) * disc
    if horizon < n:
        edge = horizon + (cloud(rng, n, 6)[0] - 0.5) * n * rng.uniform(0.05, 0.3)
        ground = np.arange(n)[:, None] > edge[None, :]
        x[ground] = x[ground] * rng.uniform(0.02, 0.3)
    return np.clip(x, 0, 255).astype(np.uint8)


def evening(rng, x):
    """The picture in the colours of a sunset or of fire light: brightness runs from dark over red to yellow or white.

    Clouds, walls and fur then have the colours of a flame and not its shape.
    """
    g = x.astype(np.float32).mean(2) / 255
    lo, hi = np.percentile(g, (2, 98))
    g = np.clip((g - lo) / max(hi - lo, 0.1), 0, 1)
    stops = np.array([0, rng.uniform(0.25, 0.5), rng.uniform(0.55, 0.85), 1.0], np.float32)
    dark = rng.uniform(0, 90, 3) * (1, 0.7, 0.8)
    red = np.array([rng.uniform(110, 230), rng.uniform(25, 90), rng.uniform(0, 90)])
    orange = np.array([rng.uniform(220, 255), rng.uniform(100, 180), rng.uniform(10, 120)])
    yellow = np.array([255, rng.uniform(190, 255), rng.uniform(80, 230)])
    colours = np.stack([dark, red, orange, yellow])
    out = np.stack([np.interp(g, stops, colours[:, c]) for c in range(3)], 2)
    keep = rng.uniform(0, 0.5)
    return np.clip(x * keep + out * (1 - keep), 0, 255).astype(np.uint8)


def lamps(rng, x):
    """Lamps, tail lights, neon and their reflections drawn over a picture."""
    n = x.shape[0]
    out = x.astype(np.float32)
    if chance(rng, 0.7):
        out *= rng.uniform(0.15, 0.8)
    yy, xx = np.mgrid[0:n, 0:n].astype(np.float32)
    for _ in range(int(rng.integers(1, 9))):
        cx, cy = rng.uniform(0, n), rng.uniform(0, n)
        r = n * np.exp(rng.uniform(np.log(0.006), np.log(0.06)))
        colour = np.array(
            [(255, 225, 170), (255, 160, 50), (255, 40, 25), (255, 255, 250), (255, 200, 80), (255, 90, 40)][
                int(rng.integers(0, 6))
            ],
            np.float32,
        )
        stretch = rng.uniform(0.4, 2.5) if chance(rng, 0.5) else 1.0
        d = np.sqrt(((xx - cx) * stretch) ** 2 + (yy - cy) ** 2)
        core = np.clip((r - d) / max(r * 0.3, 1) + 0.5, 0, 1)[:, :, None]
        glow = np.exp(-d / (r * rng.uniform(1, 4)))[:, :, None] * rng.uniform(0.2, 0.8)
        bright = colour * 0.4 + 255 * 0.6 if chance(rng, 0.6) else colour
        out = out + glow * colour
        out = out * (1 - core) + bright * core
        if chance(rng, 0.3):
            streak = np.exp(-(((xx - cx) / (r * 1.2)) ** 2)) * np.clip((yy - cy) / n, 0, 1) * np.exp(-(yy - cy) / (n * 0.3))
            out = out + streak[:, :, None] * colour * rng.uniform(0.3, 1.2)
    return np.clip(out, 0, 255).astype(np.uint8)


def cloth(rng, x):
    """Red and orange things with plain outlines: cloth, boxes, plastic, food."""
    n = x.shape[0]
    out = np.ascontiguousarray(x)
    for _ in range(int(rng.integers(1, 5))):
        points = int(rng.integers(3, 9))
        centre, r = rng.uniform(0, n, 2), n * rng.uniform(0.04, 0.3)
        angles = np.sort(rng.uniform(0, 2 * np.pi, points))
        shape = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * r * rng.uniform(0.5, 1.0, (points, 1))
        mask = np.zeros((n, n), np.float32)
        cv2.fillPoly(mask, [shape.astype(np.int32)], 1.0, cv2.LINE_AA)
        colour = np.array([rng.uniform(170, 255), rng.uniform(20, 190), rng.uniform(0, 90)], np.float32)
        folds = 0.55 + 0.6 * cloud(rng, n, int(rng.integers(2, 7)))[:, :, None]
        a = mask[:, :, None] * rng.uniform(0.6, 1.0)
        out = np.clip(out * (1 - a) + colour * folds * a, 0, 255).astype(np.uint8)
    return out
