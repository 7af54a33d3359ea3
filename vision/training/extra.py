"""Picks photographs out of unpacked Debian packages: FOLDER/tree -> FOLDER/photos (JPEG) and FOLDER/stamps (PNG).

vtest.avi of opencv-doc is a street as a fixed camera sees it: one frame in sixty is taken. Of each desktop background only the largest version is taken. Pictures that show fire, candles or smoke are left out.
"""

import os
import re
import sys

import cv2

# package -> folder inside it, and what to take there
PHOTOS = {
    "gnome-backgrounds": "usr/share/backgrounds",
    "mate-backgrounds": "usr/share/backgrounds",
    "lomiri-wallpapers-16.04": "usr/share/backgrounds",
    "lomiri-wallpapers-20.04": "usr/share/backgrounds",
    "plasma-workspace-wallpapers": "usr/share/wallpapers",
    "sway-backgrounds": "usr/share/backgrounds",
    "ukui-wallpapers": "usr/share/backgrounds",
    "opencv-doc": "usr/share/doc/opencv-doc/examples/data",
    "python3-skimage": "usr/lib/python3/dist-packages/skimage/data",
}
STAMPS = "tuxpaint-stamps-default", "usr/share/tuxpaint/stamps"
LEFT_OUT = re.compile(
    r"cartoon|symbol|fire|flame|candle|volcano|lantern|torch|rocket|match|smoke|squirrel_cls|mask|screenshot|logo|chess|"
    r"tree_and|detect|board|right|left\d|calib|Template|letter|digits|text|graf|aloe|HappyFish|imageTextN",
    re.I,
)
SIDE = 448


def pictures(root, endings):
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.lower().endswith(endings) and not LEFT_OUT.search(path[len(root) :]) and not os.path.islink(path):
                yield path


def shrink(x):
    scale = min(1, SIDE / max(x.shape[:2]))
    return cv2.resize(x, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def main(out):
    tree = os.path.join(out, "tree")
    os.makedirs(os.path.join(out, "photos"), exist_ok=True)
    os.makedirs(os.path.join(out, "stamps"), exist_ok=True)
    taken = 0
    for package, inside in PHOTOS.items():
        largest = {}
        for path in pictures(os.path.join(tree, package, inside), (".jpg", ".jpeg", ".png", ".webp")):
            # plasma keeps one folder a background with a file for each screen size
            key = os.path.dirname(path) if package.startswith("plasma") else path
            if key not in largest or os.path.getsize(path) > os.path.getsize(largest[key]):
                largest[key] = path
        for path in largest.values():
            x = cv2.imread(path, cv2.IMREAD_COLOR)
            if x is None or min(x.shape[:2]) < 150:
                continue
            taken += 1
            cv2.imwrite(os.path.join(out, "photos", f"debian_{taken:04d}.jpg"), shrink(x), [cv2.IMWRITE_JPEG_QUALITY, 92])
    street = cv2.VideoCapture(os.path.join(tree, "opencv-doc/usr/share/doc/opencv-doc/examples/data/vtest.avi"))
    n = 0
    while True:
        ok, x = street.read()
        if not ok:
            break
        if n % 60 == 0:
            taken += 1
            cv2.imwrite(os.path.join(out, "photos", f"debian_{taken:04d}.jpg"), shrink(x), [cv2.IMWRITE_JPEG_QUALITY, 92])
        n += 1
    stamps = 0
    for path in pictures(os.path.join(tree, *STAMPS), (".png",)):
        x = cv2.imread(path, cv2.IMREAD_UNCHANGED)
        if x is None or x.ndim != 3 or x.shape[2] != 4 or min(x.shape[:2]) < 60:
            continue
        stamps += 1
        cv2.imwrite(os.path.join(out, "stamps", f"{stamps:04d}.png"), shrink(x))
    print(f"{taken} photographs, {stamps} cut-outs")


if __name__ == "__main__":
    main(sys.argv[1])
