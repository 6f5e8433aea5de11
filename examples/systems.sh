#!/usr/bin/env bash
# All systems, pre-trained alike on simulated adults, beside the reference rows on real records; then what each of them is asked alone.
# AURICLE_REAL_DATA names the folder that holds ptb-xl/ and ptb-xl-mini/. Usage: examples/systems.sh [FOLDER] [PART ...]
# Parts, all of them if none is named: table seeds labels laboratory absent disentangling efficiency ablations early_ablations
# hypertension. Some ten hours on one core, so name what you want; started again, trainings and tables go on where they stopped.
set -euo pipefail
data=${AURICLE_REAL_DATA:?set AURICLE_REAL_DATA to the folder that holds ptb-xl/ and ptb-xl-mini/}
out=${1:-runs/systems}
steps=250
here=$(dirname "$0")/..
unknown=z_scored # leads of these records were z-scored one by one
systems="lisa merl mirage ls_emvae cg_dmer acl_ecg"

once() { # folder command ...: made if it is not there
  [ -e "$1/store.json" ] || "${@:2}"
}
mini() { once "$out/mini" auricle ingest ptb_xl_mini "$data/ptb-xl-mini" "$out/mini" --rate-hz 100; }
adults() { once "$out/adults" auricle simulate "$out/adults" -n 12000 --ages adults --diagnoses adult --rate-hz 100; }
chest() { once "$out/chest" auricle simulate "$out/chest" -n 6000 --seed 7 --ages adults --diagnoses chest_pain --rate-hz 100; }

# Five systems and merl: the same records, steps and batches, encoders of about half a million weights (presets `nano`).
# mirage is trained on the simulated labels, the others on none.
pretrain() { # system run further options
  local preset=nano more=()
  if [ "$1" = mirage ]; then preset=nano_conv more=(--task simulated/diagnosis); fi
  auricle pretrain "$out/adults" "$out/$2" --method "$1" --preset $preset --config "$unknown" --steps $steps \
    --batch-size 64 --resume "${@:3}" "${more[@]}"
}
probe() { # run reference rows
  auricle evaluate "$out/$1" "$out/mini" "$out/results" --task ptb_xl_mini/super --protocol linear_probe --rows "$2"
}
zero_shot() { # runs
  for run in "$@"; do
    auricle evaluate "$out/$run" "$out/mini" "$out/results" --task ptb_xl_mini/super --protocol zero_shot --rows ""
  done
}
table() {
  mini; adults
  local rows=class_prior,random_encoder,rocket,supervised # the encoder untrained is lisa's
  for system in $systems; do
    pretrain "$system" "$system"
    probe "$system" "$rows"
    rows=""
  done
  zero_shot lisa merl cg_dmer
  local runs=()
  for system in $systems; do runs+=("$out/$system"); done
  auricle robustness "$out/mini" "$out/results" "${runs[@]}" supervised="$out/results/ptb_xl_mini-super/supervised/run" \
    --task ptb_xl_mini/super
}

# The same trainings from other starts and in another order.
seeds() {
  mini; adults
  for seed in 1 2; do
    for system in $systems; do
      pretrain "$system" "${system}_$seed" --seed $seed
      probe "${system}_$seed" ""
    done
    zero_shot lisa_$seed merl_$seed cg_dmer_$seed
  done
}

# mirage on real labels, beside the supervised row of the table.
labels() {
  mini
  auricle pretrain "$out/mini" "$out/mirage_labels" --method mirage --preset nano_conv --config "$unknown" --task ptb_xl_mini/super \
    --steps $steps --batch-size 32 --resume
  auricle evaluate "$out/mirage_labels" "$out/mini" "$out/results" --task ptb_xl_mini/super --protocol finetune --rows ""
}

laboratory() {
  chest
  auricle ablate laboratory_values "$out/chest" "$out/laboratory_values" --task simulated/infarction --steps 150 --batch-size 32
}

# In millivolts, and a quarter of a million weights.
lead_vae() { # store run further options
  auricle pretrain "$out/$1" "$out/$2" --method ls_emvae --preset nano --steps 400 --batch-size 64 --resume "${@:3}" \
    'model.encoder.channels=[16,32,64]'
}
# Absent leads in millivolts: learned from the records that the regression is fitted on, and from simulation.
absent() {
  adults
  once "$out/ptb_xl" auricle ingest ptb_xl "$data/ptb-xl" "$out/ptb_xl" --rate-hz 100
  lead_vae ptb_xl ls_emvae_real --task ptb_xl/super
  lead_vae adults ls_emvae_mv
  python "$here/benchmarks/absent_leads.py" --weights "$out/ls_emvae_real" --note "PTB-XL folds 1-8"
  python "$here/benchmarks/absent_leads.py" --weights "$out/ls_emvae_mv" --note "simulated adults"
}

# The two parts of cg_dmer, where what they are to hold can be seen: in millivolts, up to 100 Hz, with noise and other carts.
disentangling() {
  once "$out/carts" auricle simulate "$out/carts" -n 12000 --seed 3 --ages adults --diagnoses adult --quality hard --rate-hz 250
  once "$out/others" auricle simulate "$out/others" -n 1500 --seed 5 --ages adults --diagnoses adult --quality hard --rate-hz 250
  auricle pretrain "$out/carts" "$out/cg_dmer_carts" --method cg_dmer --preset nano --steps 2000 --batch-size 64 --resume \
    model.input.rate_hz=250 'model.input.band_hz=[0.05,100]'
  python "$here/benchmarks/disentangling.py" --weights "$out/cg_dmer_carts" --store "$out/others" --task simulated/diagnosis -n 800 \
    --real "$data/ptb-xl"
}

# How many labels acl_ecg saves.
efficiency() {
  mini; adults; pretrain acl_ecg acl_ecg
  python "$here/benchmarks/label_efficiency.py" "$out/acl_ecg" --store "$out/mini" --task ptb_xl_mini/super \
    --work "$out/label_efficiency" --seeds 2 --steps 300
}

# What each part of a system is worth: those without labels learn from simulated adults and are asked of PTB-XL.
ablations() {
  adults; chest
  once "$out/ptb_xl" auricle ingest ptb_xl "$data/ptb-xl" "$out/ptb_xl" --rate-hz 100
  for name in ls_emvae cg_dmer acl_ecg; do
    auricle ablate $name "$out/ptb_xl" "$out/ablations/$name" --pretrain "$out/adults" --task "$here/examples/ptb_xl_few.toml" \
      --steps 200 --batch-size 64 model.input.rate_hz=100 'model.input.band_hz=[0.5,40]'
  done
  for name in mirage mirage_contrast mirage_temperature; do
    auricle ablate $name "$out/chest" "$out/ablations/$name" --task simulated/infarction --steps 300 --batch-size 32
  done
}
# Smaller and earlier ones: of acl_ecg on the real records themselves, of cg_dmer with what its parts hold.
early_ablations() {
  mini
  local real=(model.input.rate_hz=100 'model.input.band_hz=[0.5,40]' model.input.scale=lead_unknown)
  auricle ablate acl_ecg "$out/mini" "$out/ablation_acl_ecg" --task ptb_xl_mini/super --steps 60 --batch-size 64 "${real[@]}"
  once "$out/few" auricle simulate "$out/few" -n 4000 --seed 11 --ages adults --diagnoses adult --rate-hz 100
  auricle ablate cg_dmer "$out/few" "$out/ablation_cg_dmer" --task simulated/diagnosis --steps 150 --batch-size 64 \
    --row cg_dmer --row "two heads of one encoder" --row "decoders read the shared part" \
    --row "decoders read the specific part" --row "no decorrelation" --row "no alignment"
  python "$here/benchmarks/disentangling.py" --weights "$out"/ablation_cg_dmer/runs/* --store "$out/few" --task simulated/diagnosis \
    -n 400 --name ablations
}

# Simulated: twelve leads and six.
hypertension() {
  adults; lead_vae adults ls_emvae_mv
  once "$out/ph" auricle simulate "$out/ph" -n 900 --seed 9 --diagnoses ph --rate-hz 100
  auricle evaluate "$out/ls_emvae_mv" "$out/ph" "$out/results_ph" --task ph/simulated --protocol cross_validated --rows random_encoder,rocket
  auricle evaluate "$out/ls_emvae_mv" "$out/ph" "$out/results_ph" --task ph/simulated --protocol cross_validated --rows random_encoder,rocket \
    --leads I,II,III,aVR,aVL,aVF
}

parts=("${@:2}")
[ ${#parts[@]} -gt 0 ] || parts=(table seeds labels laboratory absent disentangling efficiency ablations early_ablations hypertension)
for part in "${parts[@]}"; do "$part"; done
