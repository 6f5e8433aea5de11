#!/usr/bin/env bash
# What weights that saw simulated adults alone know of real ones: zero-shot and probes on PTB-XL at 100 Hz, beside merl and
# the reference rows. About forty minutes of one core by the sum of its steps; other seeds: `pretrain ... --seed 1`.
# Usage: examples/from_simulation.sh PTB_XL_FOLDER [FOLDER]
set -euo pipefail
data=${1:?give the folder of PTB-XL in its original layout (records100/ is enough)}
out=${2:-runs/from_simulation}
task=$(dirname "$0")/ptb_xl_few.toml # folds 1-7 train, 8 chooses, 9 and 10 report
at_100=(model.input.rate_hz=100 model.input.seconds=10 "model.input.band_hz=[0.5,40]")

auricle simulate "$out/simulated" -n 24000 --seed 11 --ages adults --diagnoses adult --rate-hz 100
auricle ingest ptb_xl "$data" "$out/ptb_xl" rate_hz=100 --rate-hz 100

auricle pretrain "$out/simulated" "$out/lisa" --config from_simulation --task simulated/diagnosis --resume "${at_100[@]}"
auricle pretrain "$out/simulated" "$out/merl" --method merl --preset nano --task simulated/diagnosis --steps 850 \
  --batch-size 64 --resume "${at_100[@]}" # as long on the clock as lisa's 400
auricle evaluate "$out/lisa" "$out/ptb_xl" "$out/results" --task "$task"
auricle evaluate "$out/merl" "$out/ptb_xl" "$out/results" --task "$task" --rows ""
auricle robustness "$out/ptb_xl" "$out/results" "$out/lisa" "$out/merl" \
  supervised="$out/results/ptb_xl-few/supervised/run" --task "$task"
