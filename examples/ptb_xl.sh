#!/usr/bin/env bash
# PTB-XL from its original layout to a zero-shot answer and a probe; then children from ZZU-pECG.
# AURICLE_REAL_DATA names the folder that holds ptb-xl/ and zzu-pecg/. Usage: examples/ptb_xl.sh [FOLDER]
set -euo pipefail
data=${AURICLE_REAL_DATA:?set AURICLE_REAL_DATA to the folder that holds ptb-xl/ and zzu-pecg/}
out=${1:-runs/ptb_xl}

# 1. The data set as it comes, once. 250 Hz is what the nano encoder reads.
auricle ingest ptb_xl "$data/ptb-xl" "$out/store" --rate-hz 250

# 2. What the text tower makes of pairs of reports, as written and in English.
auricle text minilm

# 3. Pre-train on recordings and reports of folds 1-8 only; every other fold is unseen.
auricle pretrain "$out/store" "$out/pretrained" --preset nano --task ptb_xl/super --steps 300 --resume model.input.seconds=5

# 4. Zero-shot and linear probes on fold 10, beside class_prior, random_encoder and supervised.
auricle evaluate "$out/pretrained" "$out/store" "$out/results" --task ptb_xl/super --name lisa_ptb_xl

# 5. The same from weights that have seen no real record: what simulation alone is worth here.
auricle evaluate "${WEIGHTS:-runs/weights}/pretrained" "$out/store" "$out/results" --task ptb_xl/super \
  --name lisa_simulated --rows ""

# 6. Eleven real children, with the weights that come with auricle (fine-tuned on simulated children and adults).
for header in "$data"/zzu-pecg/*.hea; do
  auricle predict "$header"
done
