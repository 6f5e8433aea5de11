#!/usr/bin/env bash
# Goes on with the long run that is to give better weights (docs/results/log.md, "Weights that learn from everything"): from the
# point in longer/ to its 6,000 steps, in runs/longer (64 records a step, about 35 a second on one core).
# PTB_XL is PTB-XL in its original layout with the records at hand. Usage, from the project's folder: benchmarks/resume/longer.sh PTB_XL
set -euo pipefail
data=${1:?give the folder of PTB-XL in its original layout (records100/ is enough)}
auricle ingest ptb_xl "$data" stores/ptb_xl rate_hz=100 --rate-hz 100
[ -e runs/longer ] || { mkdir -p runs && cp -r benchmarks/resume/longer runs/longer; }
auricle pretrain stream runs/longer --config everything --steps 6000 --resume train.workers=1 \
  init_from=src/auricle/weights/lisa-nano init_heads=true \
  data.parts.real.store=stores/ptb_xl data.parts.real.split=examples/ptb_xl_few.toml data.parts.real.labels=true \
  data.parts.real.share=0.2 data.parts.adults.share=0.4 data.parts.children.share=0.4 \
  data.parts.adults.stream.first=3000000 data.parts.children.stream.first=3000000 \
  'data.parts.adults.open=["NORM","MI","STTC","CD","HYP"]'
