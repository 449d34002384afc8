#!/usr/bin/env bash
# WikiTongues, 70 h in some 700 languages: stages 1 to 3, from downloads/wikitongues/*.parquet.
# It takes every option of the template: ./run.sh --help
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipe_defaults=(
  --recipe_dir "${recipe}" --conf "${recipe}/../../../conf/xeus.yaml" --stop_stage 3
)
# shellcheck source=../../TEMPLATE/ssl1/ssl.sh
source "${recipe}/../../TEMPLATE/ssl1/ssl.sh"
