#!/usr/bin/env bash
# Installs the Debian packages that the tests use, and nothing when they are
# there. Of the programs only shedguard-vision needs some of them: `setup.sh vision`
# installs those alone.
set -euo pipefail

vision=(
  libopencv-dev  # OpenCV 4.6, for the eyes
  libjpeg-dev    # libjpeg, which OpenCV decodes with, too
  pkg-config     # where it is
  g++            # compiles what speaks to it
)
packages=(
  "${vision[@]}"
  g++-aarch64-linux-gnu # the eyes for ARM
  mosquitto      # a real broker for the integration tests
  victoria-metrics # a real time-series database for the integration tests
  chromium       # a real browser for the page
  qemu-system-arm # an emulated ARM board
  qemu-user-static # an emulated ARM processor
  cpio           # its file system
  kmod           # the order of its modules
  gir1.2-gst-rtsp-server-1.0 # a real camera server for the eyes' tests
  python3-gi     # what it is scripted in
  gstreamer1.0-plugins-base # its pictures
  gstreamer1.0-plugins-good # RTP
  gstreamer1.0-plugins-bad # H.265
  gstreamer1.0-plugins-ugly # H.264
  fonts-noto-cjk # so that its pictures show Chinese
)
[ "${1:-}" = vision ] && packages=("${vision[@]}")

missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
  echo "setup: this is not Debian: install ${missing[*]} by your own means, then run again" >&2
  exit 1
fi
sudo=
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "setup: run once as root: apt-get install ${missing[*]}" >&2; exit 1; }
  sudo=sudo
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq || true # a mirror in mid-update is no reason to stop: the next line tells
$sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

# The packages start what tests start by themselves, on ports that the demo uses.
if [ -d /run/systemd/system ]; then
  for p in "${missing[@]}"; do
    case $p in
      mosquitto | victoria-metrics) $sudo systemctl disable --now "$p" 2>/dev/null || true ;;
    esac
  done
fi
