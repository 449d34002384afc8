#!/usr/bin/env bash
# Make tools/venv from nothing: a Python environment with everything the recipes need.
#
# Usage: tools/install.sh [--with_tests] [--quiet_if_done]
#
#   --with_tests      also what tools/test.sh needs (pytest, ruff, shellcheck)
#   --quiet_if_done   say nothing when there is nothing to do
#
# PYTHON=/path/to/python3.12 chooses the interpreter (3.11 to 3.13). Run it again at any time: it
# does only what changed. Without an NVIDIA GPU it asks pip for a CPU build of PyTorch; where pip's
# index has none, it takes the default build (several GB) and says so.
# shellcheck source=../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe.sh"

with_tests=false quiet_if_done=false arguments=()
for argument in "$@"; do
  case ${argument} in
    --with_tests) with_tests=true ;;
    --quiet_if_done) quiet_if_done=true ;;
    *) arguments+=("${argument}") ;;
  esac
done
parse_options "${arguments[@]}"

torch_version=2.13.0
venv=${repository}/tools/venv
base=${PYTHON:-python3}
extras=recipe
[[ ${with_tests} == false ]] || extras=recipe,test
record=${repository}/tools/.install.log

command -v "${base}" > /dev/null ||
  fail "${base} not found; install Python 3.11 to 3.13, or set PYTHON=/path/to/python3"
version=$("${base}" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case ${version} in
  3.11 | 3.12 | 3.13) ;;
  *) fail "${base} is Python ${version}; 3.11 to 3.13 is needed: set PYTHON=/path/to/python3.12" ;;
esac

# The stamp names what was installed; extras only grow, so a plain install keeps the test tools.
stamp=${venv}/.installed
wanted="${version} torch ${torch_version} setup $(sha256sum < "${repository}/setup.py" | cut -c1-16)"
if [[ -f ${stamp} && $(head -n 1 "${stamp}") == "${wanted}" ]] &&
  { [[ ${with_tests} == false ]] || grep -qx tests "${stamp}"; }; then
  [[ ${quiet_if_done} == true ]] || log "tools/venv is up to date (Python ${version})"
  exit 0
fi

# pip_install ARGS...: pip's own words go to the record; the last of them is shown if it fails.
pip_install() {
  "${venv}/bin/python3" -m pip install --disable-pip-version-check "$@" >> "${record}" 2>&1
}
refuse_pip() {
  local reason
  reason=$(grep -E '^ *ERROR' "${record}" | tail -n 1 || true)
  fail "pip could not install $1 (${reason:-see ${record}}); check the network to the package index, then run tools/install.sh again"
}

seconds_before=${SECONDS}
log "installing into tools/venv with Python ${version} (about a minute; record in tools/.install.log)"
: > "${record}"
if [[ ! -x ${venv}/bin/python3 || $("${venv}/bin/python3" -c 'import sys; print("%d.%d" % sys.version_info[:2])') != "${version}" ]]; then
  rm -rf "${venv}"
  "${base}" -m venv "${venv}" >> "${record}" 2>&1 ||
    fail "python3 -m venv failed; on Debian: apt-get install python3-venv (record in ${record})"
fi
rm -f "${stamp}"
if command -v nvidia-smi > /dev/null; then
  log "NVIDIA GPU found: PyTorch with CUDA"
  pip_install "torch==${torch_version}" || refuse_pip torch
elif pip_install "torch==${torch_version}+cpu"; then
  log "no NVIDIA GPU: PyTorch ${torch_version} for the CPU"
else
  log "pip's index has no CPU build of PyTorch: taking the default build, several GB; PIP_EXTRA_INDEX_URL may point to PyTorch's CPU index"
  pip_install "torch==${torch_version}" || refuse_pip torch
fi
pip_install --editable "${repository}[${extras}]" || refuse_pip "the requirements of setup.py"
printf '%s\n' "${wanted}" > "${stamp}"
[[ ${with_tests} == false ]] || echo tests >> "${stamp}"
count=$("${venv}/bin/python3" -m pip list --disable-pip-version-check 2> /dev/null | tail -n +3 | wc -l)
log "tools/venv is ready: ${count} packages, $(du -sh "${venv}" | cut -f1), $((SECONDS - seconds_before)) s"
