#!/bin/bash
# Data -> training -> export -> evaluation -> model card. May be stopped at any time and started again.
# usage: run.sh DATA BUILD    DATA has train/ and val/; BUILD takes caches, checkpoints and logs
set -euo pipefail
here=$(dirname "$(realpath "$0")")
data=$(realpath "$1")
mkdir -p "$2"
build=$(realpath "$2")
model=$here/../model

packages=(python3-torch python3-opencv python3-onnx python3-venv)
for p in "${packages[@]}"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' ||
		{ echo "run.sh: missing: apt-get install ${packages[*]}" >&2; exit 1; }
done
if [ ! -x "$build/venv/bin/python" ]; then
	/usr/bin/python3 -m venv --system-site-packages "$build/venv"
	"$build/venv/bin/pip" install -q --no-deps -r "$here/requirements.txt"
fi
py=$build/venv/bin/python
# Threads that wait must not burn the processor that others could use.
export PYTHON=$py OMP_WAIT_POLICY=PASSIVE
[ -d "$build/extra/stamps" ] || "$here/extra.sh" "$build/extra"

common=(--data "$data" --extra "$build/extra")
# Most of the way on small pictures, which is nearly twice as fast; the end at about the size that is used, twice, with
# more turns for the pictures that are taken for fire; then the mean of both.
"$py" "$here/train.py" "${common[@]}" --out "$build/small" --size 192 --steps 1050 --cooldown 0
"$py" "$here/mine.py" "${common[@]}" --cache "$build/cache" --checkpoint "$build/small/last.pt" --out "$build/mined.json"
end=(--mined "$build/mined.json" --start-from "$build/small/last.pt" --warmup 15 --rate 7e-4 --trunk-rate 1.2e-4)
"$py" "$here/train.py" "${common[@]}" "${end[@]}" --out "$build/main" --size 256 --seed 3 --steps 400 --cooldown 360
"$py" "$here/train.py" "${common[@]}" "${end[@]}" --out "$build/second" --size 224 --seed 4 --steps 520 --cooldown 480
"$py" "$here/average.py" "$build/mean.pt" "$build/main/last.pt" "$build/second/last.pt"

# The same, shorter, without two sources, judged on these two.
"$py" "$here/train.py" "${common[@]}" --out "$build/transfer" --without xia,cairn --size 192 --steps 300 --cooldown 120
"$py" "$here/transfer.py" "${common[@]}" --cache "$build/cache" --checkpoint "$build/transfer/last.pt" \
	--without xia,cairn --markdown "$build/transfer.md"

"$py" "$here/export.py" "$build/mean.pt" "$model/shedguard-fire.onnx"
"$py" "$here/card.py" --data "$data" --onnx "$model/shedguard-fire.onnx" --settings "$here/settings.json" \
	--transfer "$build/transfer.md" --model-json "$model/model.json" --card "$model/MODEL_CARD.md"
