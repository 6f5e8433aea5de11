#!/usr/bin/env bash
# The weights that come along beside what learns from the same real recordings: their own answers, a probe of their features
# and all of them fine-tuned, where random convolutions, a network from scratch and an untrained one stand too.
# PTB_XL, CSN and ELSEWHERE are stores as examples/weights.sh ingests them. docs/results/weights_beside.md
# Usage: examples/weights_beside.sh PTB_XL CSN ELSEWHERE [FOLDER [MINI [BRUGADA]]]; some twenty minutes of a core, as many
# for MINI, the store of the z-scored PTB-XL (auricle ingest ptb_xl_mini, 100 Hz), and with HOURS=yes three hours more for
# what learns without any label of real people. BRUGADA is the folder of Brugada-HUCA. Started again, it goes on.
set -euo pipefail
ptb_xl=${1:?give the store of PTB-XL}
csn=${2:?give the store of Chapman-Shaoxing-Ningbo}
elsewhere=${3:?give the store of recordings from elsewhere}
out=${4:-runs/weights_beside}
mini=${5:-}
brugada=${6:-}
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
# What learns without any label or report of real people: the first step of the weights that come along with their
# recordings alone (two seeds), and merl on as many records as the weights have learned from.
runs=()
if [ -n "${HOURS:-}" ]; then
  for seed in 0 1; do
    auricle pretrain stream "$out/without_labels-$seed" --config everything --steps 2200 --resume train.workers=1 \
      train.seed="$seed" data.parts.real.store="$ptb_xl" data.parts.real.split="$super"
    runs+=("without_labels-$seed")
  done
  auricle pretrain stream "$out/merl" --config "$here/merl_stream.toml" --resume train.workers=1
  runs+=(merl)
  for run in "${runs[@]}"; do
    for asks in "$ptb_xl $super" "$csn $here/tasks/csn_findings.toml" "$elsewhere $here/tasks/elsewhere_rhythm.toml"; do
      read -r store task <<< "$asks"
      protocols=(--protocol zero_shot --protocol linear_probe)
      [ "$run" = merl ] || protocols+=(--protocol finetune)
      auricle evaluate "$out/$run" "$store" "$out/results" --task "$task" "${protocols[@]}" --rows ""
    done
    for task in form rhythm; do
      auricle evaluate "$out/$run" "$ptb_xl" "$out/results" --task "$here/tasks/ptb_xl_few_$task.toml" \
        --protocol linear_probe --rows ""
    done
  done
fi
# Heads on frozen features under cross-validation, for a pattern that all of these have seen simulated only.
if [ -n "$brugada" ]; then
  awk -F, -v at="$brugada/files" 'NR == 1 { print "file,patient_id,labels" }
    $4 == 1 || $4 == 0 { print at "/" $1 "/" $1 ".hea," $1 "," ($4 ? "BRUG" : "none") }' \
    "$brugada/metadata.csv" > "$out/brugada.csv"
  [ -d "$out/brugada" ] || auricle ingest manifest "$out/brugada.csv" "$out/brugada" --rate-hz 100
  rows=random_encoder,rocket
  for run in lisa-nano "${runs[@]/#/$out/}"; do
    auricle evaluate "$run" "$out/brugada" "$out/results" --task "$here/tasks/brugada_huca.toml" \
      --protocol cross_validated --rows "$rows"
    rows=
  done
fi
for task in ptb_xl/few ptb_xl/few_form ptb_xl/few_rhythm csn/findings elsewhere/rhythm; do auricle table "$out/results" --task "$task"; done
