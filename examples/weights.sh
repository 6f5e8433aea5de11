#!/usr/bin/env bash
# The weights that come with auricle: lisa nano, pre-trained on a simulated cohort and its reports, then fine-tuned with
# the age gate on what was simulated. About twelve minutes on two cores. Usage: examples/weights.sh [FOLDER]
set -euo pipefail
out=${1:-runs/weights}
auricle simulate "$out/store" -n 6000 --seed 100 --diagnoses core --rate-hz 250
auricle pretrain "$out/store" "$out/pretrained" --preset nano --task simulated/diagnosis --steps 1800 \
  --resume model.input.seconds=5
auricle finetune "$out/store" "$out/finetuned" --from "$out/pretrained" --task simulated/diagnosis --steps 900 \
  --backbone slow model.backbone_lr_scale=0.5 --resume
auricle evaluate "$out/finetuned" "$out/store" "$out/results" --task simulated/diagnosis --protocol finetune --rows class_prior --to-card
