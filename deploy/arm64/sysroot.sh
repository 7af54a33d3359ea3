#!/usr/bin/env bash
# Unpacks what shedguard-vision needs of Debian for arm64 into a folder, to link
# against and to run under qemu-user. The machine itself is left as it is: apt works
# on lists and a package database of its own in that folder, needs no root, and
# nothing is installed. (Installing OpenCV for arm64 would remove that for amd64.)
set -euo pipefail

into=${1:?usage: sysroot.sh FOLDER}
packages=(
  libopencv-core406 libopencv-imgproc406 libopencv-imgcodecs406 libopencv-videoio406
  libopencv-highgui406 libopencv-dnn406 libopencv-objdetect406 libopencv-calib3d406
  libopencv-features2d406 libopencv-photo406 libopencv-video406 libstdc++6
)
multiarch=usr/lib/aarch64-linux-gnu

mkdir -p "$into"
into=$(cd "$into" && pwd)
done=$into/done
[ -e "$done" ] && [ "$done" -nt "$0" ] && exit 0
rm -rf "$into/root" "$done"
mkdir -p "$into"/apt/{lists/partial,archives/partial} "$into/root"
: >"$into/apt/status"

cat >"$into/apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Dir::State "$into/apt";
Dir::State::lists "$into/apt/lists";
Dir::State::status "$into/apt/status";
Dir::Cache "$into/apt";
Dir::Cache::archives "$into/apt/archives";
Dir::Log "$into/apt";
Debug::NoLocking "true";
EOF
export APT_CONFIG=$into/apt/apt.conf
apt-get update -qq || true # a mirror in mid-update is no reason to stop: the next line tells
apt-get install -qq -y --download-only "${packages[@]}" >/dev/null

mkdir -p "$into/root/usr/lib" "$into/root/usr/sbin" "$into/root/usr/bin"
ln -s usr/lib "$into/root/lib" # as on every Debian since 12
for deb in "$into"/apt/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink --no-same-owner -C "$into/root"
done
# Links that packages make when they are installed, or that only -dev packages have.
ln -sf blas/libblas.so.3 "$into/root/$multiarch/libblas.so.3"
ln -sf lapack/liblapack.so.3 "$into/root/$multiarch/liblapack.so.3"
for lib in "$into/root/$multiarch"/libopencv_*.so.406; do
  ln -sf "$(basename "$lib")" "${lib%.406}"
done
ln -sf libjpeg.so.62 "$into/root/$multiarch/libjpeg.so"
# The one header that lies in a folder of this machine's architecture, where a compiler
# for another does not look.
mkdir -p "$into/include" "$into/pkgconfig"
cp "/usr/include/$(gcc -print-multiarch)/jconfig.h" "$into/include/"
{
  echo "Name: OpenCV"
  echo "Description: OpenCV of the sysroot, with the headers of this machine's own architecture"
  echo "Version: 4.6.0"
  echo "Cflags: $(pkg-config --cflags opencv4) -I$into/include"
  printf 'Libs:' # the caller says where: see arm64-vision in the Makefile
  for p in "${packages[@]}"; do
    case $p in libopencv-*) p=${p#libopencv-}; printf ' -lopencv_%s' "${p%406}" ;; esac
  done
  echo
} >"$into/pkgconfig/opencv4.pc"
# FFmpeg comes with libopencv-videoio406. Its headers are the same on every 64 bit
# machine, but lie beside those of the C library, which are not.
mkdir -p "$into/include"
for name in avformat avcodec avutil swscale; do
  lib=$(basename "$(ls "$into/root/$multiarch"/lib$name.so.* | head -1)")
  ln -sf "$lib" "$into/root/$multiarch/lib$name.so"
  ln -sfn "$(pkg-config --variable=includedir lib$name)/lib$name" "$into/include/lib$name"
  printf 'Name: lib%s\nDescription: of the sysroot\nVersion: %s\nCflags: -I%s\nLibs: -l%s\n' \
    "$name" "$(pkg-config --modversion lib$name)" "$into/include" "$name" >"$into/pkgconfig/lib$name.pc"
done
rm -f "$into"/apt/archives/*.deb
touch "$done"
