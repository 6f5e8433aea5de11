#!/usr/bin/env bash
# The weights that come with auricle (`lisa-nano`): some five hours of one core on simulated people that are made while they are
# learned from, on the recordings and labels of folds 1-7 of PTB-XL, and on half of those of Chapman-Shaoxing-Ningbo; then
# calibrated and tested. ELSEWHERE is a folder of Challenge 2021 records without PTB-XL (names that begin with HR) and
# without Chapman-Shaoxing-Ningbo (JS).
# Each step goes on where it stopped. Usage: examples/weights.sh PTB_XL_FOLDER CSN_FOLDER ELSEWHERE_FOLDER [FOLDER]
set -euo pipefail
data=${1:?give the folder of PTB-XL in its original layout (records100/ is enough)}
csn=${2:?give the folder of Chapman-Shaoxing-Ningbo}
elsewhere=${3:?give a folder of Challenge 2021 records without those of PTB-XL and of Chapman-Shaoxing-Ningbo}
out=${4:-runs/weights}
here=$(dirname "$0")
auricle ingest ptb_xl "$data" "$out/ptb_xl" rate_hz=100 --rate-hz 100
auricle ingest csn "$csn" "$out/csn" --rate-hz 100
auricle ingest challenge2021 "$elsewhere" "$out/elsewhere" --rate-hz 100
auricle simulate "$out/simulated" -n 12000 --seed 1901 --rate-hz 100
auricle pretrain stream "$out/first" --config everything --steps 2200 --resume train.workers=1 \
  data.parts.real.store="$out/ptb_xl" data.parts.real.split="$here/ptb_xl_few.toml" data.parts.real.labels=true
# Then at a lower rate, more of each batch real, what superclasses mean in adults left to real adults.
auricle pretrain stream "$out/second" --config everything_after --resume train.workers=1 init_from="$out/first" \
  data.parts.real.store="$out/ptb_xl" data.parts.real.split="$here/ptb_xl_few.toml" data.parts.real.labels=true
# The same two steps again, for longer, on people whom the first ones did not see.
auricle pretrain stream "$out/longer" --config everything --steps 6000 --resume train.workers=1 \
  init_from="$out/second" init_heads=true \
  data.parts.real.store="$out/ptb_xl" data.parts.real.split="$here/ptb_xl_few.toml" data.parts.real.labels=true \
  data.parts.real.share=0.2 data.parts.adults.share=0.4 data.parts.children.share=0.4 \
  data.parts.adults.stream.first=3000000 data.parts.children.stream.first=3000000 \
  'data.parts.adults.open=["NORM","MI","STTC","CD","HYP"]'
auricle pretrain stream "$out/fourth" --config everything_after --resume train.workers=1 init_from="$out/longer" \
  data.parts.real.store="$out/ptb_xl" data.parts.real.split="$here/ptb_xl_few.toml" data.parts.real.labels=true \
  data.parts.adults.stream.first=5000000 data.parts.children.stream.first=5000000
# At last adults of another country, another cart and another habit of labelling. What their list names by another word
# (voltage, where PTB-XL says hypertrophy), or names in one or two of them, is left open.
auricle pretrain stream "$out/lisa-nano" --config everything_after --steps 600 --resume train.workers=1 init_from="$out/fourth" \
  data.parts.real.store="$out/ptb_xl" data.parts.real.split="$here/ptb_xl_few.toml" data.parts.real.labels=true \
  data.parts.csn.store="$out/csn" data.parts.csn.split="$here/tasks/csn_findings.toml" data.parts.csn.labels=true \
  'data.parts.csn.open=["MI","LVH","RVH","RAO/RAE","STE_","EREPOL"]' \
  data.parts.real.share=0.3 data.parts.csn.share=0.25 data.parts.adults.share=0.15 data.parts.children.share=0.3 \
  data.parts.adults.stream.first=6000000 data.parts.children.stream.first=6000000
auricle calibrate "$out/lisa-nano" "$out/simulated" "$out/csn" "$out/ptb_xl" \
  --task ecg/findings --task "$here/tasks/csn_findings.toml" --task "$here/tasks/ptb_xl_findings.toml"
test_on() { auricle evaluate "$out/lisa-nano" "$1" "$out/results" --task "$2" --protocol finetune --rows "" --to-card; }
test_on "$out/simulated" ecg/findings
test_on "$out/ptb_xl" "$here/tasks/ptb_xl_findings.toml"
test_on "$out/csn" "$here/tasks/csn_findings.toml"
test_on "$out/elsewhere" "$here/tasks/elsewhere_findings.toml"
# With fewer leads, for what sets of answers hold then (benchmarks/reliability.py).
auricle robustness "$out/ptb_xl" "$out/results" "$out/lisa-nano" --task "$here/tasks/ptb_xl_findings.toml"
auricle robustness "$out/csn" "$out/results" "$out/lisa-nano" --task "$here/tasks/csn_findings.toml"
