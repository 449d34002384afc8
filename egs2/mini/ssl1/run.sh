#!/usr/bin/env bash
# A XEUS in miniature on real speech: all 13 stages in about ten minutes on two cores.
# It takes every option of the template: ./run.sh --help
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipe_defaults=(
  --recipe_dir "${recipe}" --conf "${recipe}/../../../conf/mini.yaml" --data downloads/ml_superb_mini
)
# shellcheck source=../../TEMPLATE/ssl1/ssl.sh
source "${recipe}/../../TEMPLATE/ssl1/ssl.sh"
