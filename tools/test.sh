#!/usr/bin/env bash
# Lint and test the project; installs what it needs first.
#
# Usage: tools/test.sh [--only lint|unit|peer|integration] [--with_espnet] [--with_s3prl]
#
#   --only PART     run one part (default: all)
#   --with_espnet   install ESPnet itself into tools/espnet_venv for the part peer (1.6 GB, two minutes)
#   --with_s3prl    install s3prl itself into tools/s3prl_venv for the part peer (1.7 GB, two minutes)
#
# The part peer runs with the clients that are installed, and skips the tests of the others. With
# ESPNET_VENV=/path/to/it before the command it runs with the ESPnet of that environment.
# shellcheck source=../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe.sh"

only=all with_espnet=false with_s3prl=false arguments=()
for argument in "$@"; do
  case ${argument//-/_} in # --with-espnet is --with_espnet
    __with_espnet) with_espnet=true ;;
    __with_s3prl) with_s3prl=true ;;
    *) arguments+=("${argument}") ;;
  esac
done
options+=(only)
stages=(lint unit peer integration)
parse_options "${arguments[@]}"
is_one_of "${only}" all "${stages[@]}" ||
  usage_error "--only must be lint, unit, peer or integration, got '${only}'"

cd "${repository}"
[[ -z ${ESPNET_VENV:-} || -x ${ESPNET_VENV}/bin/python3 ]] ||
  fail "ESPNET_VENV=${ESPNET_VENV} holds no bin/python3: it must be an environment with ESPnet"
needs=(--with_tests)
[[ ! -d tools/espnet_venv ]] || with_espnet=true
[[ ! -d tools/s3prl_venv ]] || with_s3prl=true
[[ ${with_espnet} == false ]] || needs+=(--with_espnet)
[[ ${with_s3prl} == false ]] || needs+=(--with_s3prl)
tools/install.sh "${needs[@]}" --quiet_if_done
bin=${repository}/tools/venv/bin
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)

stage_lint() {
  "${bin}/ruff" check .
  "${bin}/ruff" format --check .
  "${bin}/mypy"
  "${bin}/shellcheck" --external-sources "${scripts[@]}"
}
# One thread a test process: two processes of one thread are faster than one of two.
stage_unit() {
  OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m "not peer and not integration" -n 2 --durations 10
}
stage_peer() {
  local missing="neither ESPnet nor s3prl is installed; tools/test.sh --with_espnet --with_s3prl does it"
  if [[ ${with_espnet} == true || ${with_s3prl} == true || -n ${ESPNET_VENV:-} ]]; then
    OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m peer -rs --durations 5
  elif [[ ${only} == peer ]]; then
    fail "${missing}"
  else
    log "skipped: ${missing}"
  fi
}
stage_integration() { OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m integration --durations 5; }

if [[ ${only} == all ]]; then run_stages; else "stage_${only}"; fi
log "all passed"
