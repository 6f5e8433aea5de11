#!/usr/bin/env bash
# Does it learn age? Rows B of the LISA proposal and what could refute them, on simulated children, and once more on children whose ECG does
# not depend on their age, among whom a gate must gain nothing; figures of the decisive pair. docs/results/age.md
# Usage: examples/age.sh [FOLDER] [SEEDS]. Some eight minutes of a core for each row and seed, a night in all; started again, it goes on.
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
ask() { auricle ablate age_gate "$@" --pretrain adults --task simulated/children; }
# Every row once; then those that decide from further starts.
ask children interaction
ask children interaction --seeds "$seeds" "${controls[@]}" --row "age constant" --row "age shuffled"
# The same rows beside B3 of nine leads, and of fewer and more newborns, and beside ages that are shuffled; nothing is trained.
for row in "B3, nine leads for all" "B3, 5 % newborns" "B3, half newborns" "age shuffled"; do
  ask children interaction "${controls[@]}" --compared-with "$row" | tee "interaction/beside $row.md"
done
ask plain no_interaction --seeds "$seeds" "${controls[@]}"
# The decisive pair, and what could refute it, once on four times as many children.
[ -e many/store.json ] || auricle simulate many -n 20000 --seed 2032 --ages children --diagnoses child --rate-hz 100
ask many many_out --steps 2200 "${controls[@]}" --row "age shuffled" --row "age with waves" --row "adults only, ResNet18-1D" --row "random convolutions"
ask many many_out --steps 2200 "${controls[@]}" --compared-with "B4 lisa, age gate" | tee "many_out/beside B4.md"
auricle figures B3=interaction/runs/b3-lisa-0 B4=interaction/runs/b4-lisa-age-gate-0 --store children --task simulated/children --out figures --class RVH
