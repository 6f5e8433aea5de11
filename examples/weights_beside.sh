#!/usr/bin/env bash
# The weights that come along beside what learns from the same real recordings: their own answers, a probe of their features
# and all of them fine-tuned, where random convolutions, a network from scratch and an untrained one stand too.
# PTB_XL, CSN and ELSEWHERE are stores as examples/weights.sh ingests them. docs/results/weights_beside.md
# Usage: examples/weights_beside.sh PTB_XL CSN ELSEWHERE [FOLDER [MINI]]; some twenty minutes of a core, and as many for
# MINI, the store of the z-scored PTB-XL (auricle ingest ptb_xl_mini, 100 Hz). Started again, it goes on.
set -euo pipefail
ptb_xl=${1:?give the store of PTB-XL}
csn=${2:?give the store of Chapman-Shaoxing-Ningbo}
elsewhere=${3:?give the store of recordings from elsewhere}
out=${4:-runs/weights_beside}
mini=${5:-}
here=$(dirname "$0")
super="$here/ptb_xl_few.toml"
asked() { # store task further options
  auricle evaluate lisa-nano "$1" "$out/results" --task "$2" "${@:3}"
}
asked "$ptb_xl" "$super"
asked "$ptb_xl" "$super" --protocol linear_probe --rows ""
asked "$ptb_xl" "$here/tasks/ptb_xl_few_form.toml" --protocol linear_probe
asked "$ptb_xl" "$here/tasks/ptb_xl_few_rhythm.toml" --protocol linear_probe
asked "$csn" "$here/tasks/csn_findings.toml"
asked "$csn" "$here/tasks/csn_findings.toml" --protocol linear_probe --rows ""
asked "$elsewhere" "$here/tasks/elsewhere_rhythm.toml" --protocol linear_probe
asked "$elsewhere" "$here/tasks/elsewhere_rhythm.toml" --protocol finetune --rows ""
# All weights learn on, as long as the network from scratch does: twelve passes.
for seed in 0 1 2; do
  auricle finetune "$ptb_xl" "$out/tuned-$seed" --from lisa-nano --task "$super" --epochs 12 --seed "$seed" --resume
  auricle evaluate "$out/tuned-$seed" "$ptb_xl" "$out/results" --task "$super" --rows ""
done
# What is left of them where millivolts are lost: tuned on records whose leads were z-scored one by one.
if [ -n "$mini" ]; then
  for seed in 0 1 2; do
    auricle finetune "$mini" "$out/mini-$seed" --from lisa-nano --task ptb_xl_mini/super --epochs 12 --seed "$seed" --resume \
      model.input.scale=lead_unknown
    auricle evaluate "$out/mini-$seed" "$mini" "$out/results" --task ptb_xl_mini/super --protocol finetune --rows ""
  done
  auricle evaluate "$out/mini-0" "$mini" "$out/results" --task ptb_xl_mini/super --protocol finetune --fractions 100
  auricle table "$out/results" --task ptb_xl_mini/super
fi
for task in ptb_xl/few ptb_xl/few_form ptb_xl/few_rhythm csn/findings elsewhere/rhythm; do auricle table "$out/results" --task "$task"; done
