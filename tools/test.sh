#!/usr/bin/env bash
# Lint and test the project; installs what it needs first.
#
# Usage: tools/test.sh [--only lint|unit|peer|integration] [--with_espnet]
#
#   --only PART     run one part (default: all)
#   --with_espnet   install ESPnet itself into tools/espnet_venv for the part peer (1.6 GB, two
#                   minutes); without it that part runs only where the environment is already there
# shellcheck source=../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe.sh"

only=all with_espnet=false arguments=()
for argument in "$@"; do
  case ${argument//-/_} in # --with-espnet is --with_espnet
    __with_espnet) with_espnet=true ;;
    *) arguments+=("${argument}") ;;
  esac
done
options+=(only)
stages=(lint unit peer integration)
parse_options "${arguments[@]}"
is_one_of "${only}" all "${stages[@]}" ||
  usage_error "--only must be lint, unit, peer or integration, got '${only}'"

cd "${repository}"
needs=(--with_tests)
[[ ! -d tools/espnet_venv ]] || with_espnet=true
[[ ${with_espnet} == false ]] || needs+=(--with_espnet)
tools/install.sh "${needs[@]}" --quiet_if_done
bin=${repository}/tools/venv/bin
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)

stage_lint() {
  "${bin}/ruff" check .
  "${bin}/ruff" format --check .
  "${bin}/shellcheck" --external-sources "${scripts[@]}"
}
# One thread a test process: two processes of one thread are faster than one of two.
stage_unit() {
  OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m "not peer and not integration" -n 2 --durations 10
}
stage_peer() {
  local missing="ESPnet is not in tools/espnet_venv; tools/test.sh --with_espnet installs it"
  if [[ ${with_espnet} == true ]]; then
    OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m peer --durations 5
  elif [[ ${only} == peer ]]; then
    fail "${missing}"
  else
    log "skipped: ${missing}"
  fi
}
stage_integration() { OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m integration --durations 5; }

if [[ ${only} == all ]]; then run_stages; else "stage_${only}"; fi
log "all passed"
