#!/bin/bash
# More pictures without fire, from Debian packages whose licences are free: desktop backgrounds (skies, sunsets,
# landscapes, lamps) and photographed things with transparent surroundings (food, animals, vessels).
# usage: extra.sh FOLDER    makes FOLDER/photos and FOLDER/stamps; nothing is installed
set -euo pipefail
out=$(realpath -m "$1")
packages=(gnome-backgrounds mate-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
	plasma-workspace-wallpapers sway-backgrounds ukui-wallpapers stellarium-data gcompris-qt-data
	opencv-doc python3-skimage python-skimage-doc tuxpaint-stamps-default)
mkdir -p "$out/debs" "$out/tree"
cd "$out/debs"
for p in "${packages[@]}"; do
	[ -d "$out/tree/$p" ] && continue
	apt-get -qq download "$p"
	dpkg -x "$p"_*.deb "$out/tree/$p"
	rm -f "$p"_*.deb
done
"${PYTHON:-python3}" "$(dirname "$(realpath "$0")")/extra.py" "$out" 2>/dev/null || "${PYTHON:-python3}" "$OLDPWD/extra.py" "$out"
