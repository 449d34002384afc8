#!/usr/bin/env bash
# XEUS: from corpora to a row in the ML-SUPERB table, in numbered, resumable stages.
#
# Usage: run.sh [--stage N] [--stop_stage N] [--dry_run] [--nj N] [--ngpu N] [--name value]...
#
#    1 data         corpora, downloads   -> data/<corpus>/ (Kaldi directories), ML-SUPERB tree
#    2 format       data/<corpus>        -> dump/<corpus>/ (16 kHz FLAC shards, index, dropped.tsv)
#    3 combine      dump/<corpus>        -> dump/{train,valid} (index), hours per language
#    4 kmeans       dump/train           -> exp/tokens/<tag>/ (codebook)
#    5 label        audio, codebook      -> dump/{train,valid}/labels/<tag>/, quality report
#    6 augment      noise and rooms      -> dump/{noise,rirs}
#    7 plan         dump/train           -> dump/train/plan; prints hours, steps, bytes
#    8 pretrain     plan, shards, labels -> exp/ssl_<tag>/
#    9 export       checkpoints          -> exp/ssl_<tag>/export (ESPnet, Hugging Face; reloaded, compared)
#   10 superb_data  ML-SUPERB tree       -> dump/superb/, what of it dump/train holds
#   11 finetune     encoders x cells     -> exp/superb/<encoder>/<cell>/
#   12 score        cells                -> hypotheses, score.json, exp/superb/scores.json
#   13 report       scores, logs         -> exp/report/{RESULTS.md,superb.json,report.html}
#
#   --stage N           first stage to run (default 1)
#   --stop_stage N      last stage to run (default 13)
#   --dry_run           print the commands instead of running them
#   --find_batch        stage 8 only finds the largest batch that a device holds; ends there
#   --price             stage 8 only times 20 steps: days and disk of the whole run; ends there
#   --nj N              parallel processes (default: the number of cores)
#   --ngpu N            GPUs; 0 trains on the CPU (default 0)
#   --conf FILE         recipe YAML
#   --set S.KEY=VALUE   override one value of the YAML; may be given again
#   --cluster NAME      local (default), slurm, or another YAML in conf/cluster or its path
#   --seeds N           seeds 1 to N of the probe in stages 11 and 12 (default: finetune.seeds, or 1 alone)
#   --ssl_tag TAG       names exp/ssl_<tag>, exp/tokens/<tag> and the labels (default: the YAML's name)
#   --corpora FILE      what stage 1 prepares (default local/corpora.yaml)
#   --only NAMES        only these corpora of it, in stages 1 to 3: --only "mls fleurs"
#   --data DIR          the ML-SUPERB tree (default downloads/ml_superb)
#   --export DIR        exported model that stage 11 takes (default exp/ssl_<tag>/export)
#   --encoders NAMES    only these encoders of the YAML, in stages 11 to 13: --encoders "fbank random"
#   --downloads, --datadir, --dumpdir, --expdir DIR   where things go
#   --recipe_dir DIR    the recipe; relative paths are taken from here
#
# Logs are in exp/log/<tag>/<step>: runs of another --conf, --ssl_tag or --expdir do not share them.
# A stage redoes only what its inputs or options changed; kill it and start it again at any time.
# A cell of stages 11 and 12 that fails does not stop the others: stage 13 marks it, and the exit
# status is 1.
# shellcheck source=../../../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../../utils/recipe.sh"

conf='' cluster=local seeds='' ngpu=0 ssl_tag='' only='' encoders='' recipe_dir=.
nj=$(nproc)
corpora=local/corpora.yaml data=downloads/ml_superb export=''
downloads=downloads datadir=data dumpdir=dump expdir=exp
options+=(nj ngpu conf cluster seeds ssl_tag corpora only data export encoders downloads datadir
  dumpdir expdir recipe_dir)
numbers+=(nj ngpu)
find_batch=false price=false
flags+=(find_batch price)
stages=(data format combine kmeans label augment plan pretrain export superb_data finetune score
  report)
parse_options "${recipe_defaults[@]}" "$@"
if [[ ${find_batch} == true || ${price} == true ]]; then
  ((stage <= 8 && stop_stage >= 8)) || usage_error "--find_batch and --price belong to stage 8"
  stop_stage=8 # there is no model yet
fi
((nj > 0)) || usage_error "--nj must be at least 1"
[[ ${seeds} =~ ^([1-9][0-9]*)?$ ]] ||
  usage_error "--seeds takes a whole number from 1 on, got '${seeds}'"
if [[ ${cluster} != local && ! -f ${repository}/conf/cluster/${cluster}.yaml ]]; then
  [[ -f ${cluster} ]] ||
    usage_error "--cluster must be local, a name in conf/cluster or a YAML file, got '${cluster}'"
  cluster=$(realpath "${cluster}")
fi
[[ -n ${conf} ]] || usage_error "--conf is required"
conf=$(realpath -m "${conf}")
[[ -f ${conf} ]] || usage_error "--conf ${conf}: no such file"
[[ -d ${recipe_dir} ]] || usage_error "--recipe_dir ${recipe_dir}: no such folder"
cd "${recipe_dir}"

tag=${ssl_tag:-$(basename "${conf}" .yaml)}
tokens=${expdir}/tokens/${tag}
ssl=${expdir}/ssl_${tag}
logs=${expdir}/log/${tag}
times=${expdir}/stage_times.tsv
ranks=$((ngpu > 0 ? ngpu : (nj < 2 ? 1 : 2)))
read -ra names <<< "${only//,/ }"
corpus_dirs=("${names[@]/#/${datadir}/}") # data/mls data/fleurs
((${#names[@]} > 0)) || corpus_dirs=("${datadir}") # all that are there
probe_seeds=()
if [[ -n ${seeds} ]]; then probe_seeds=(--seeds "${seeds}"); fi
read -ra names <<< "${encoders//,/ }"
if ((${#names[@]} > 0)); then
  settings+=(--set "finetune.only_encoders=[$(IFS=,; echo "${names[*]}")]")
fi

# step NAME ARGS...: one command of the package, with the options every step has.
step() {
  local name=$1
  shift
  run "${python}" -m "espnet2.bin.${name}" --conf "${conf}" --nj "${nj}" --ngpu "${ngpu}" \
    --cluster "${cluster}" --log_dir "${logs}/${name}" "${settings[@]}" "$@"
}

# step_of_cells NAME ARGS...: a step that ends with status 3 where some cells failed; then the next
# stage works with the others.
some_failed=false
step_of_cells() {
  local status=0
  step "$@" || status=$?
  if ((status == 3)); then some_failed=true; else return "${status}"; fi
}

# check_first: refuse before any work what a later stage or the GPUs would refuse after hours of it.
check_first() {
  local options=(--stages "${stage}" "${stop_stage}")
  if [[ ${dry_run} == true ]]; then return; fi
  if ((stage <= 11 && stop_stage >= 11)); then
    options+=(--cells)
    if ((stage > 9)) || [[ -n ${export} ]]; then options+=(--export "${export:-${ssl}/export}"); fi
    if ((stage > 1 && stage <= 10)); then options+=(--root "${data}"); fi
  fi
  "${python}" -m espnet2.bin.preflight --conf "${conf}" --ngpu "${ngpu}" --cluster "${cluster}" \
    "${settings[@]}" "${options[@]}"
}

# check_name: a run's folders bear the YAML's name, so a second YAML of that name is refused while
# the first is there; a --ssl_tag that is typed says that they are meant to be shared.
check_name() {
  local first=''
  if [[ -n ${ssl_tag} ]]; then return; fi
  if [[ -f ${logs}/conf ]]; then first=$(< "${logs}/conf"); fi
  if [[ -f ${first} && ! ${first} -ef ${conf} ]]; then
    usage_error "--conf ${conf}: ${expdir} already holds '${tag}' of $(realpath "${first}"); --ssl_tag NAME names this one"
  fi
}
note_name() {
  if [[ -n ${ssl_tag} || ${dry_run} == true ]]; then return; fi
  mkdir -p "${logs}"
  realpath --relative-to=. "${conf}" > "${logs}/conf" # from here: a checkout may move
}

stage_data() {
  step prepare_data --corpora "${corpora}" --only "${only}" --downloads "${downloads}" \
    --superb_root "${data}" --data "${datadir}"
}
stage_format() { step format_data --data "${corpus_dirs[@]}" --dump "${dumpdir}"; }
stage_combine() { step combine_data --data "${corpus_dirs[@]}" --dump "${dumpdir}"; }
stage_kmeans() { step kmeans --index "${dumpdir}/train/index.arrow" --out "${tokens}"; }
stage_label() {
  local set
  for set in train valid; do
    step label --index "${dumpdir}/${set}/index.arrow" --codebook "${tokens}" \
      --out "${dumpdir}/${set}/labels/${tag}"
  done
}
stage_augment() { step prepare_augment --data "${datadir}" --dump "${dumpdir}"; }
stage_plan() { step plan --dump "${dumpdir}"; }
stage_pretrain() {
  local questions=()
  if [[ ${find_batch} == true ]]; then questions+=(--find_batch); fi
  if [[ ${price} == true ]]; then questions+=(--price); fi
  step pretrain --dump "${dumpdir}" --labels_tag "${tag}" --exp "${ssl}" --ranks "${ranks}" \
    "${questions[@]}"
}
stage_export() {
  step export --data "${datadir}" --dump "${dumpdir}" --exp "${ssl}" --out "${ssl}/export"
}
stage_superb_data() {
  step superb_data --root "${data}" --out "${dumpdir}/superb"
  if [[ ${dry_run} == true || -f ${dumpdir}/train/index.json ]]; then
    step overlap --index "${dumpdir}/train" --data "${dumpdir}/superb" \
      --out "${dumpdir}/superb/overlap.tsv"
  else
    log "no ${dumpdir}/train: not looked for evaluation data in a training set"
  fi
}
stage_finetune() {
  step_of_cells finetune --data "${dumpdir}/superb" --export "${export:-${ssl}/export}" \
    --out "${expdir}/superb" "${probe_seeds[@]}"
}
stage_score() {
  step_of_cells score --data "${dumpdir}/superb" --cells "${expdir}/superb" \
    --out "${expdir}/superb/scores.json" "${probe_seeds[@]}"
}
stage_report() {
  step report --exp "${expdir}" --dump "${dumpdir}" --ssl "${ssl}" --out "${expdir}/report"
}

check_name
use_python
check_first
note_name
run_stages
if [[ ${some_failed} == true ]]; then
  fail "cells failed; they are named above and marked in ${expdir}/superb/scores.json"
fi
if [[ ${dry_run} == false ]]; then log "done"; fi
