#!/usr/bin/env bash
# All systems, pre-trained alike on simulated adults, beside the reference rows on real records; then what each of them is asked alone.
# AURICLE_REAL_DATA names the folder that holds ptb-xl/ and ptb-xl-mini/. Usage: examples/systems.sh [FOLDER] [STEPS]
# Some two hours on two free cores; started again, trainings and tables go on where they stopped.
set -euo pipefail
data=${AURICLE_REAL_DATA:?set AURICLE_REAL_DATA to the folder that holds ptb-xl/ and ptb-xl-mini/}
out=${1:-runs/systems}
steps=${2:-250}
here=$(dirname "$0")/..
unknown=$here/configs/pretrain/ptb_xl_mini.toml # leads of these records were z-scored one by one

auricle ingest ptb_xl_mini "$data/ptb-xl-mini" "$out/mini" --rate-hz 100
auricle ingest ptb_xl "$data/ptb-xl" "$out/ptb_xl" --rate-hz 100
auricle simulate "$out/adults" -n 12000 --ages adults --diagnoses adult --rate-hz 100
auricle simulate "$out/chest" -n 6000 --seed 7 --ages adults --diagnoses chest_pain --rate-hz 100

# 1. Five systems and merl: the same records, steps and batches. mirage is trained on the simulated labels, the others on none.
pretrain() { # name method preset further options
  auricle pretrain "$out/adults" "$out/$1" --method "$2" --preset "$3" --config "$unknown" --steps "$steps" --batch-size 64 --resume "${@:4}"
}
pretrain lisa lisa nano
pretrain merl merl nano
pretrain ls_emvae ls_emvae nano model.mse_weight=4 # leads are in standard deviations, five times larger than in millivolts
pretrain cg_dmer cg_dmer nano
pretrain acl_ecg acl_ecg nano
# Without millivolts a sheet is drawn in standard deviations: twelve of them high.
pretrain mirage mirage nano_conv --task simulated/diagnosis model.encoder.image.raster.mv_per_row=12

rows=class_prior,random_encoder,rocket,supervised # the encoder untrained is lisa's
for run in lisa merl ls_emvae cg_dmer acl_ecg mirage; do
  auricle evaluate "$out/$run" "$out/mini" "$out/results" --task ptb_xl_mini/super --protocol linear_probe --rows "$rows"
  rows=""
done
for run in lisa merl cg_dmer; do
  auricle evaluate "$out/$run" "$out/mini" "$out/results" --task ptb_xl_mini/super --protocol zero_shot --rows ""
done
auricle robustness "$out/mini" "$out/results" "$out"/{lisa,merl,ls_emvae,cg_dmer,acl_ecg,mirage} \
  supervised="$out/results/ptb_xl_mini-super/supervised/run" --task ptb_xl_mini/super

# 2. mirage on real labels, beside the supervised row above.
auricle pretrain "$out/mini" "$out/mirage_labels" --method mirage --preset nano_conv --config "$unknown" --task ptb_xl_mini/super \
  --steps "$steps" --batch-size 32 --resume model.encoder.image.raster.mv_per_row=12
auricle evaluate "$out/mirage_labels" "$out/mini" "$out/results" --task ptb_xl_mini/super --protocol finetune --rows ""

# 3. Laboratory values, the seven ablations and the two sweeps of mirage.
auricle ablate laboratory_values "$out/chest" "$out/laboratory_values" --task simulated/infarction --steps 150 --batch-size 32
# The three of mirage are an hour and more each, and their numbers are not in docs/results/systems.md yet.
auricle ablate mirage "$out/chest" "$out/ablation_mirage" --task simulated/infarction --steps 80 --batch-size 32
auricle ablate mirage_contrast "$out/chest" "$out/mirage_contrast" --task simulated/infarction --steps 40 --batch-size 32
auricle ablate mirage_temperature "$out/chest" "$out/mirage_temperature" --task simulated/infarction --steps 40 --batch-size 32

# 4. Absent leads in millivolts: learned from the records that the regression is fitted on, and from simulation.
auricle pretrain "$out/ptb_xl" "$out/ls_emvae_real" --method ls_emvae --preset nano --task ptb_xl/super --steps 400 --batch-size 64 --resume
auricle pretrain "$out/adults" "$out/ls_emvae_mv" --method ls_emvae --preset nano --steps 400 --batch-size 64 --resume
AURICLE_REAL_DATA=$data python "$here/benchmarks/absent_leads.py" --weights "$out/ls_emvae_real" --note "PTB-XL folds 1-8"
AURICLE_REAL_DATA=$data python "$here/benchmarks/absent_leads.py" --weights "$out/ls_emvae_mv" --note "simulated adults"

# 5. The two parts of cg_dmer; how many labels acl_ecg saves.
auricle simulate "$out/others" -n 1500 --seed 5 --ages adults --diagnoses adult --rate-hz 100 # people that cg_dmer never saw
python "$here/benchmarks/disentangling.py" --weights "$out/cg_dmer" --store "$out/others" --task simulated/diagnosis -n 800
python "$here/benchmarks/label_efficiency.py" "$out/acl_ecg" --store "$out/mini" --task ptb_xl_mini/super --work "$out/label_efficiency" \
  --seeds 1 --steps 100 --shares 1 10 100

# 6. The two ablations of acl_ecg on real records.
auricle ablate acl_ecg "$out/mini" "$out/ablation_acl_ecg" --task ptb_xl_mini/super --steps 60 --batch-size 64 \
  model.input.rate_hz=100 'model.input.band_hz=[0.5,40]' model.input.scale=lead_unknown

# 7. Pulmonary hypertension, simulated: twelve leads and six.
auricle simulate "$out/ph" -n 900 --seed 9 --diagnoses ph --rate-hz 100
auricle evaluate "$out/ls_emvae_mv" "$out/ph" "$out/results_ph" --task ph/simulated --protocol cross_validated --rows random_encoder,rocket
auricle evaluate "$out/ls_emvae_mv" "$out/ph" "$out/results_ph" --task ph/simulated --protocol cross_validated --rows random_encoder,rocket \
  --leads I,II,III,aVR,aVL,aVF
