#!/usr/bin/env bash
# Fetches what the emulated ARM board needs into a folder: Debian's armhf kernel
# and a static busybox. Nothing is installed, and the machine's own package lists
# stay as they are. Does nothing when it is all there.
#
#   fetch.sh DIR
set -euo pipefail
dir=$(mkdir -p "$1" && cd "$1" && pwd)
[ -e "$dir/ready" ] && exit 0

mkdir -p "$dir/apt/lists/partial" "$dir/apt/cache/archives/partial" "$dir/debs"
: >"$dir/apt/status"
apt=(
  -o APT::Architecture=armhf -o APT::Architectures::=armhf -o APT::Sandbox::User="$(id -un)"
  -o Dir::State="$dir/apt" -o Dir::State::lists="$dir/apt/lists" -o Dir::State::status="$dir/apt/status"
  -o Dir::Cache="$dir/apt/cache"
)
apt-get "${apt[@]}" update -qq || true # a mirror in mid-update is no reason to stop: the next line tells
kernel=$(apt-cache "${apt[@]}" depends linux-image-armmp | awk '/Depends: linux-image-/ {print $2; exit}')
[ -n "$kernel" ] || { echo "fetch: the package lists have no linux-image-armmp for armhf" >&2; exit 1; }
(cd "$dir/debs" && apt-get "${apt[@]}" download -qq "$kernel" busybox-static)
rm -rf "$dir/root"
for deb in "$dir"/debs/*.deb; do
  dpkg -x "$deb" "$dir/root"
done
rm -rf "$dir/debs" "$dir/apt"

version=${kernel#linux-image-}
ln -sfn "root/boot/vmlinuz-$version" "$dir/vmlinuz"
ln -sfn "root/usr/lib/linux-image-$version/imx6q-sabrelite.dtb" "$dir/board.dtb"
/usr/sbin/depmod -b "$dir/root" "$version" 2>/dev/null || depmod -b "$dir/root" "$version"
echo "$version" >"$dir/ready"
