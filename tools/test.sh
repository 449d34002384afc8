#!/usr/bin/env bash
# Lint and test the project; installs what it needs first.
#
# Usage: tools/test.sh [--only lint|unit|integration]
#
#   --only PART   run one part (default: all)
# shellcheck source=../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe.sh"

only=all
options+=(only)
stages=(lint unit integration)
parse_options "$@"
is_one_of "${only}" all lint unit integration ||
  usage_error "--only must be lint, unit or integration, got '${only}'"

cd "${repository}"
tools/install.sh --with_tests --quiet_if_done
bin=${repository}/tools/venv/bin
mapfile -t scripts < <(git ls-files '*.sh' .ci/run)

stage_lint() {
  "${bin}/ruff" check .
  "${bin}/ruff" format --check .
  "${bin}/shellcheck" --external-sources "${scripts[@]}"
}
# One thread a test process: two processes of one thread are faster than one of two.
stage_unit() {
  OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m "not integration" -n 2 --durations 10
}
stage_integration() { OMP_NUM_THREADS=1 "${bin}/python3" -m pytest -m integration --durations 5; }

if [[ ${only} == all ]]; then run_stages; else "stage_${only}"; fi
log "all passed"
