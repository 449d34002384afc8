#!/usr/bin/env bash
# Run the core of the unit tests with the lowest or the highest packages that setup.py allows.
#
# Usage: tools/test_bounds.sh lowest|highest [--torch VERSION] [-- PYTEST_ARGS...]
#
#   lowest            every range of setup.py at its lower end (extras gpu, s3prl, wandb left out)
#   highest           what the package index has today within the ranges
#   --torch VERSION   another PyTorch than that end's; its CPU build where pip's index has one
#
# It makes tools/venv-lowest or tools/venv-highest anew (1.7 GB, several minutes; 6 GB where PyTorch
# comes with CUDA) and leaves it there; remove it when you are done. PYTHON=/path/to/python3.12
# chooses the interpreter; the lowest releases have builds for 3.11 and 3.12 only. PYTEST_ARGS
# replace the folders that are tested.
# shellcheck source=../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe.sh"

torch='' end=${1:-} tests=(test/{hf,nn,ssl,tokens,asr,tasks,data,train,evaluation,utils})
case ${end} in
  lowest | highest) shift ;;
  --help | -h) ;;
  *) usage_error "say lowest or highest" ;;
esac
words=()
while (($# > 0)) && [[ $1 != -- ]]; do
  words+=("$1")
  shift
done
options=(torch) flags=() numbers=()
parse_options "${words[@]}"
(($# < 2)) || tests=("${@:2}")

cd "${repository}"
venv=${repository}/tools/venv-${end}
lines=${venv}/requirements.txt
rm -rf "${venv}"
"${PYTHON:-python3}" -m venv "${venv}"
"${venv}/bin/python3" tools/requirement_lines.py "${end}" > "${lines}"
[[ -z ${torch} ]] || sed -i "s/^torch\b.*/torch==${torch}/" "${lines}"

pip_install() { "${venv}/bin/python3" -m pip install --quiet --disable-pip-version-check "$@"; }
log "installing into ${venv}"
pip_install --requirement "${lines}" || # of equal versions pip takes the one with +cpu
  fail "pip cannot install these together; the lines are in ${lines#"${repository}"/}"
pip_install --no-deps --editable .
"${venv}/bin/python3" -m pip check || log "pip finds conflicts, see above"

OMP_NUM_THREADS=1 "${venv}/bin/python3" -m pytest -m "not peer and not integration and not gpu" \
  "${tests[@]}"
log "all passed with the ${end} packages"
