#!/usr/bin/env bash
# ML-SUPERB of any encoder: stages 10 to 13 alone. ./run.sh --data ROOT --export EXPORT_FOLDER
# It takes every option of the template: ./run.sh --help
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipe_defaults=(
  --recipe_dir "${recipe}" --conf "${recipe}/../../../conf/ml_superb.yaml" --stage 10
)
# shellcheck source=../../TEMPLATE/ssl1/ssl.sh
source "${recipe}/../../TEMPLATE/ssl1/ssl.sh"
