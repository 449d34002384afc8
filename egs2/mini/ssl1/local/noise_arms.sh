#!/usr/bin/env bash
# Is a model that was pre-trained with noise and rooms better in noise and in rooms?
#
# Usage: local/noise_arms.sh [--arms "clean paper late"] [--seeds 3] [--probes 1]
#                            [--expdir exp/noise_arms] [--nj N] [--ngpu N] [--dry_run]
#
#   --arms NAMES   ways to pre-train, the first is what the others are compared with:
#                  clean   no augmentation
#                  paper   noise 0.2, rooms 0.3 after the easier start (arXiv 2407.00837)
#                  late    noise 0.1, rooms 0.1 for the last 800 steps
#   --seeds N      pre-trainings of each, with seeds 1 to N (default 3)
#   --probes N     probes of each pre-training, with seeds 1 to N (default 1)
#
# run.sh comes first: data, labels, banks and plan are its own. Each pre-training takes what stage 8
# of the recipe takes. Probes (joint) are trained on clean data for each, for FBANK and for random
# weights, and scored on the tests of conf/mini_noisy.yaml. Writes EXPDIR/arms.md, and the whole
# report to EXPDIR/report. Kill it and start it again at any time.
# shellcheck source=../../../../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../../../utils/recipe.sh"

arms='clean paper late' seeds=3 probes=1 expdir=exp/noise_arms nj=$(nproc) ngpu=0
options=(arms seeds probes expdir nj ngpu)
numbers=(seeds probes nj ngpu)
parse_options "$@"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
same=(--nj "${nj}" --ngpu "${ngpu}" --ssl_tag mini)
[[ ${dry_run} == false ]] || same+=(--dry_run)

easy='{until: 300, mask_prob: 0.65}'
declare -A phases=(
  [clean]="${easy}, {mask_prob: 0.8}"
  [paper]="${easy}, {mask_prob: 0.8, noise_prob: 0.2, rir_prob: 0.3}"
  [late]="${easy}, {until: 1900, mask_prob: 0.8}, {mask_prob: 0.8, noise_prob: 0.1, rir_prob: 0.1}"
)
read -ra names <<< "${arms}"
((${#names[@]} > 0)) || usage_error "--arms names no arm"
for arm in "${names[@]}"; do
  [[ -n ${phases[${arm}]:-} ]] ||
    usage_error "--arms takes clean, paper and late, got '${arm}'"
done
encoders='fbank: {kind: fbank}'
for ((seed = 1; seed <= seeds; seed++)); do
  for arm in "${names[@]}"; do
    exp=${expdir}/${arm}_s${seed}
    ./run.sh --stage 8 --stop_stage 9 --expdir "${exp}" "${same[@]}" --set seed="${seed}" \
      --set "pretrain.phases=[${phases[${arm}]}]"
    encoders+=", ${arm}_s${seed}: {kind: export, path: ${exp}/ssl_mini/export}"
  done
  first=${expdir}/${names[0]}_s1/ssl_mini/export
  encoders+=", random_s${seed}: {kind: random, seed: ${seed}, path: ${first}}"
done

./run.sh --stage 10 --conf ../../../conf/mini_noisy.yaml --expdir "${expdir}" --seeds "${probes}" \
  --set finetune.tasks=[joint] --set "finetune.encoders={${encoders}}" "${same[@]}"
use_python
run "${python}" -m espnet2.bin.compare_arms --scores "${expdir}/superb/scores.json" \
  --against "${names[0]}" --out "${expdir}/arms.md"
