#!/usr/bin/env bash
# XEUS as published: 41 corpora, 1.08 million hours. Any subset of them: --only "fleurs mls".
# It takes every option of the template: ./run.sh --help
set -euo pipefail
recipe=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
recipe_defaults=(
  --recipe_dir "${recipe}" --conf "${recipe}/../../../conf/xeus.yaml"
)
# shellcheck source=../../TEMPLATE/ssl1/ssl.sh
source "${recipe}/../../TEMPLATE/ssl1/ssl.sh"
