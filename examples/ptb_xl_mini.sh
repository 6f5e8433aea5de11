#!/usr/bin/env bash
# The small, z-scored PTB-XL: every reference row, merl and lisa, each pre-trained on simulated adults and on real reports.
# AURICLE_REAL_DATA names the folder that holds ptb-xl/ and ptb-xl-mini/. Usage: examples/ptb_xl_mini.sh [FOLDER]
set -euo pipefail
data=${AURICLE_REAL_DATA:?set AURICLE_REAL_DATA to the folder that holds ptb-xl/ and ptb-xl-mini/}
out=${1:-runs/ptb_xl_mini}
config=z_scored # leads of these records were z-scored one by one

auricle ingest ptb_xl_mini "$data/ptb-xl-mini" "$out/mini" --rate-hz 100
auricle simulate "$out/simulated" -n 12000 --ages adults --diagnoses adult --rate-hz 100
# Real recordings with reports; the two patients that both editions have are left out.
auricle ingest ptb_xl "$data/ptb-xl" "$out/ptb_xl" leave_out="$data/ptb-xl-mini/labels.csv" --rate-hz 100

for method in merl lisa; do
  auricle pretrain "$out/simulated" "$out/$method-simulated" --method $method --preset nano --config "$config" \
    --steps 1500 --batch-size 64 --resume
  auricle pretrain "$out/ptb_xl" "$out/$method-ptb_xl" --method $method --preset nano --config "$config" \
    --steps 300 --batch-size 64 --resume
done

# lisa's objective on merl's encoder: what is the objective's and what the encoder's.
auricle pretrain "$out/simulated" "$out/lisa-resnet" --preset nano --config "$config" --steps 1500 --batch-size 64 --resume \
  model.encoder.name=resnet1d model.encoder.preset=nano

rows=class_prior,random_encoder,rocket,supervised # the encoder untrained is lisa's
for run in lisa-simulated lisa-ptb_xl lisa-resnet merl-simulated merl-ptb_xl; do
  auricle evaluate "$out/$run" "$out/mini" "$out/results" --task ptb_xl_mini/super --rows "$rows"
  rows=""
done
# The other encoder untrained.
auricle evaluate "$out/merl-simulated" "$out/mini" "$out/results_resnet" --task ptb_xl_mini/super --rows random_encoder
auricle robustness "$out/mini" "$out/results" "$out/lisa-simulated" "$out/lisa-resnet" "$out/merl-simulated" \
  supervised="$out/results/ptb_xl_mini-super/supervised/run" --task ptb_xl_mini/super
