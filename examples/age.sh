#!/usr/bin/env bash
# Does it learn age? Rows B of the LISA proposal and what could refute them, on simulated children, and once more on children whose ECG does
# not depend on their age, among whom a gate must gain nothing; figures of the decisive pair. docs/results/age.md
# Usage: examples/age.sh [FOLDER] [SEEDS]. Some eight minutes of a core for each row and seed; started again, it goes on.
set -euo pipefail
out=${1:-runs/age}
seeds=${2:-3}
controls=(--row "B3 lisa" --row "B4 lisa, age gate")
children() { # folder further options
  [ -e "$1/store.json" ] || auricle simulate "$1" -n 5500 --seed 2031 --ages children --diagnoses child --rate-hz 100 "${@:2}"
}
mkdir -p "$out"
cd "$out"
children children
children plain --no-age-interaction
[ -e adults/store.json ] || auricle simulate adults -n 12000 --seed 2030 --ages adults --diagnoses adult --rate-hz 100
# Without --row: every row of the table.
auricle ablate age_gate children interaction --pretrain adults --task simulated/children --seeds "$seeds" "${controls[@]}" \
  --row "age constant" --row "age shuffled"
# Nine leads, and fewer or more newborns, once.
auricle ablate age_gate children interaction --pretrain adults --task simulated/children "${controls[@]}" \
  --row "B3, nine leads for all" --row "B4, nine leads for all" --row "B3, 5 % newborns" --row "B4, 5 % newborns" \
  --row "B3, half newborns" --row "B4, half newborns"
auricle ablate age_gate plain no_interaction --pretrain adults --task simulated/children --seeds "$seeds" "${controls[@]}"
auricle figures B3=interaction/runs/b3-lisa-0 B4=interaction/runs/b4-lisa-age-gate-0 --store children --task simulated/children --out figures --class RVH
