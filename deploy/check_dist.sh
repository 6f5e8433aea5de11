#!/usr/bin/env bash
# Builds the sdist, and the wheel from it; installs the wheel alone into an empty environment, and measures and predicts
# there, in an empty folder. Usage: deploy/check_dist.sh [PYTHON]; the packages are left in dist/.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3.11}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf dist
"$python" -m venv "$work/build"
"$work/build/bin/pip" install --quiet --disable-pip-version-check build
"$work/build/bin/python" -m build --outdir dist . > "$work/log" 2>&1 || { tail -20 "$work/log"; exit 1; }
"$python" -m venv "$work/empty"
pip() { "$work/empty/bin/pip" --quiet --disable-pip-version-check "$@"; }
pip install "$(grep '^torch==' constraints.txt)"
pip install -c constraints.txt dist/*.whl
mkdir "$work/away"
cd "$work/away"
export PATH="$work/empty/bin:$PATH" HF_HUB_OFFLINE=1
auricle sample .  > /dev/null
auricle measure newborn.hea --age 3d > measured.txt
auricle predict newborn.hea --json > predicted.json
grep -q "QRS" measured.txt
python -c "import json; assert json.load(open('predicted.json'))['scores']['NORM'] > 0.5"
# What a missing extra would bring is said in one line.
auricle serve 2> said.txt && exit 1
grep -q "auricle\[serve\]" said.txt
echo "auricle: $(cd - > /dev/null; ls dist | tr '\n' ' ')work from an empty environment"
