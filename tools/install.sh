#!/usr/bin/env bash
# Make tools/venv from nothing: a Python environment with everything the recipes need.
#
# Usage: tools/install.sh [--with_tests] [--with_espnet] [--with_s3prl] [--quiet_if_done]
#
#   --with_tests      also what tools/test.sh needs (pytest, ruff, shellcheck)
#   --with_espnet     also tools/espnet_venv: ESPnet from PyPI for the CPU (1.6 GB, two minutes),
#                     the peer of the interoperability tests and of `bench model`; no recipe needs it
#   --with_s3prl      also tools/s3prl_venv: s3prl from PyPI for the CPU and this package beside it
#                     (1.7 GB, two minutes), for SUPERB with espnet2.s3prl; no recipe needs it
#   --quiet_if_done   say nothing when there is nothing to do
#
# PYTHON=/path/to/python3.12 chooses the interpreter (3.11 to 3.13). Run it again at any time: it
# does only what changed. Without an NVIDIA GPU it asks pip for a CPU build of PyTorch; where pip's
# index has none, it takes the default build (several GB) and says so.
# shellcheck source=../utils/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/../utils/recipe.sh"

with_tests=false with_espnet=false with_s3prl=false quiet_if_done=false arguments=()
for argument in "$@"; do
  case ${argument//-/_} in # --with-tests is --with_tests
    __with_tests) with_tests=true ;;
    __with_espnet) with_espnet=true ;;
    __with_s3prl) with_s3prl=true ;;
    __quiet_if_done) quiet_if_done=true ;;
    *) arguments+=("${argument}") ;;
  esac
done
parse_options "${arguments[@]}"

torch_version=2.13.0
base=${PYTHON:-python3}

command -v "${base}" > /dev/null ||
  fail "${base} not found; install Python 3.11 to 3.13, or set PYTHON=/path/to/python3"
print_version='import sys; print("%d.%d" % sys.version_info[:2])'
version=$("${base}" -c "${print_version}") ||
  fail "${base} does not run; set PYTHON=/path/to/python3.12 (3.11 to 3.13)"
case ${version} in
  3.11 | 3.12 | 3.13) ;;
  *) fail "${base} is Python ${version}; 3.11 to 3.13 is needed: set PYTHON=/path/to/python3.12" ;;
esac

# choose NAME SOURCE: turn to the environment tools/NAME, whose packages the file SOURCE names. A link
# is refused: pip would write through it into another checkout.
choose() {
  name=tools/$1 source=$2
  venv=${repository}/${name}
  record=${repository}/tools/.install_$1.log
  stamp=${venv}/.installed # what was installed, then a line for what came with an option
  wanted="${version} torch ${torch_version} ${source%.*} $(sha256sum < "${repository}/${source}" | cut -c1-16)"
  [[ ! -L ${venv} ]] ||
    fail "${name} is a link to $(readlink "${venv}"), and pip would write into it; remove the link and run tools/install.sh again"
}
is_installed() { [[ -f ${stamp} && $(head -n 1 "${stamp}") == "${wanted}" ]]; }
say_up_to_date() { [[ ${quiet_if_done} == true ]] || log "${name} is up to date (Python ${version})"; }

# make_venv: the environment with nothing in it yet, or what an earlier installation left.
make_venv() {
  seconds_before=${SECONDS}
  log "installing into ${name} with Python ${version} (some minutes; record in ${record#"${repository}"/})"
  : > "${record}"
  if [[ ! -x ${venv}/bin/python3 || $("${venv}/bin/python3" -c "${print_version}") != "${version}" ]]; then
    rm -rf "${venv}"
    "${base}" -m venv "${venv}" >> "${record}" 2>&1 ||
      fail "python3 -m venv failed; on Debian: apt-get install python3-venv (record in ${record})"
  fi
  rm -f "${stamp}"
}

# pip_install ARGS...: pip's own words go to the record; the last of them is shown if it fails.
pip_install() {
  "${venv}/bin/python3" -m pip install --disable-pip-version-check "$@" >> "${record}" 2>&1
}
refuse_pip() {
  local reason
  reason=$(grep -E '^ *ERROR' "${record}" | tail -n 1 || true)
  fail "pip could not install $1 (${reason:-see ${record}}); check the network to the package index, then run tools/install.sh again"
}

install_cpu_torch() {
  if pip_install "torch==${torch_version}+cpu"; then
    log "PyTorch ${torch_version} for the CPU"
  else
    log "pip's index has no CPU build of PyTorch: taking the default build, several GB; PIP_EXTRA_INDEX_URL may point to PyTorch's CPU index"
    pip_install "torch==${torch_version}" || refuse_pip torch
  fi
}

# finish OPTION...: leave the stamp and say what there is.
finish() {
  local count
  printf '%s\n' "${wanted}" "$@" > "${stamp}"
  count=$("${venv}/bin/python3" -m pip list --disable-pip-version-check 2> /dev/null | tail -n +3 | wc -l)
  log "${name} is ready: ${count} packages, $(du -sh "${venv}" | cut -f1), $((SECONDS - seconds_before)) s"
}

install_recipes() {
  local kept=false
  choose venv setup.py
  ! grep -qsx tests "${stamp}" || kept=true # a plain installation keeps the test tools
  if is_installed && [[ ${with_tests} == false || ${kept} == true ]]; then
    say_up_to_date
    return
  fi
  [[ ${kept} == false ]] || with_tests=true
  make_venv
  if command -v nvidia-smi > /dev/null; then
    log "NVIDIA GPU found: PyTorch with CUDA"
    pip_install "torch==${torch_version}" || refuse_pip torch
  else
    install_cpu_torch
  fi
  local extras=recipe
  [[ ${with_tests} == false ]] || extras=recipe,test
  pip_install --editable "${repository}[${extras}]" || refuse_pip "the requirements of setup.py"
  if [[ ${with_tests} == true ]]; then finish tests; else finish; fi
}

# install_peer CLIENT CHECK [PACKAGE...]: a client from the package index into an environment of its
# own, and PACKAGE beside it; the Python CHECK must run there then.
install_peer() {
  local client=$1 check=$2
  choose "${client}_venv" "tools/${client}_requirements.txt"
  if is_installed; then
    say_up_to_date
    return
  fi
  make_venv
  install_cpu_torch
  pip_install --no-deps --requirement "${repository}/${source}" || refuse_pip "${source}"
  rm -rf "${venv}"/lib/python3*/site-packages/torchaudio/lib # compiled against CUDA
  (($# == 2)) || pip_install --no-deps "${@:3}" || refuse_pip "this package"
  "${venv}/bin/python3" -I -c "${check}" >> "${record}" 2>&1 ||
    fail "${name} holds ${client} but cannot import it (record in ${record}); its packages were tried with Python 3.11: set PYTHON=/path/to/python3.11"
  finish
}

install_recipes
if [[ ${with_espnet} == true ]]; then
  install_peer espnet 'import espnet, espnet2.tasks.ssl'
fi
if [[ ${with_s3prl} == true ]]; then
  install_peer s3prl 'from espnet2.s3prl import register; register(); import s3prl.problem' \
    --no-build-isolation --editable "${repository}"
fi
