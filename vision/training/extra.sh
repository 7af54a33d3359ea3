#!/bin/bash
# More pictures without fire, from Debian packages whose licences are free: desktop backgrounds (skies, sunsets,
# landscapes, lamps) and photographed things with transparent surroundings (food, animals, vessels).
# usage: extra.sh FOLDER    makes FOLDER/photos and FOLDER/stamps; nothing is installed
set -euo pipefail
here=$(dirname "$(realpath "$0")")
out=$(realpath -m "$1")
packages=(gnome-backgrounds mate-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04
	plasma-workspace-wallpapers sway-backgrounds ukui-wallpapers opencv-doc python3-skimage
	tuxpaint-stamps-default)
mkdir -p "$out/tree"
cd "$out/tree"
for p in "${packages[@]}"; do
	[ -d "$p" ] && continue
	apt-get -qq download "$p"
	dpkg -x "${p}"_*.deb "$p.new"
	mv "$p.new" "$p"
	rm -f "${p}"_*.deb
done
"${PYTHON:-python3}" "$here/extra.py" "$out"
