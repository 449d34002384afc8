# shellcheck shell=bash
# The recipe library. Source it first; it turns on strict mode and runs nothing by itself.
set -Eeuo pipefail
shopt -s inherit_errexit

# Every recipe has these; a recipe adds its own to the arrays and sets their defaults.
stage=1 stop_stage=99 dry_run=false
options=(stage stop_stage)
flags=(dry_run) # options without a value
numbers=(stage stop_stage)
stages=() # names in order; stage N is the function stage_<name>
times='' # file that collects "number name seconds" of every stage that ended well

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${0##*/}
driver=${BASH_SOURCE[1]:-$0} # the script that sources this one: its head is the help
[[ -v recipe_defaults ]] || recipe_defaults=() # of a run.sh: --name value --name value
typed=("$(realpath "$0")" "$@") # what was called, for the record

log() { printf '%s %s: %s\n' "$(date '+%F %T')" "${program}" "$*" >&2; }
fail() { printf '%s: error: %s\n' "${program}" "$1" >&2; exit 1; }
usage_error() { printf '%s: %s; see --help\n' "${program}" "$1" >&2; exit 2; }

# The comment block at the top of the calling script is its help text; what a run.sh gives itself is
# shown as the default, files of the repository by their place in it.
show_help() {
  local line place value
  awk 'NR > 1 && (!/^#/ || /^# shellcheck/) { exit } NR > 1 { sub(/^# ?/, ""); print }' "${driver}" |
    while IFS= read -r line; do
      for ((place = 0; place < ${#recipe_defaults[@]}; place += 2)); do
        [[ ${line} == "  ${recipe_defaults[place]} "* ]] || continue
        value=${recipe_defaults[place + 1]}
        [[ ${value} != /* ]] || value=$(realpath -m --relative-to="${repository}" "${value}")
        line="${line%% (default *} (default ${value})"
      done
      printf '%s\n' "${line}"
    done
}

# is_one_of WORD LIST...
is_one_of() {
  local word=$1 item
  shift
  for item in "$@"; do [[ ${item} != "${word}" ]] || return 0; done
  return 1
}

# suggest WORD: the option that shares the longest beginning with WORD, as a hint.
suggest() {
  local length item
  for ((length = ${#1}; length >= 2; length--)); do
    for item in "${options[@]}" "${flags[@]}"; do
      if [[ ${item} == "${1:0:length}"* ]]; then
        printf '; did you mean --%s?' "${item}"
        return
      fi
    done
  done
}

# parse_options "$@": sets the variables named in the array `options`; both spellings
# --name value and --name=value. --set may be given again and collects into the array `settings`.
settings=()
parse_options() {
  local _name
  while (($# > 0)); do
    case $1 in
      --help | -h) show_help; exit 0 ;;
      --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
      --set)
        (($# > 1)) || usage_error "--set needs section.key=value"
        settings+=(--set "$2")
        shift 2 ;;
      --*)
        _name=${1#--}
        if is_one_of "${_name}" "${flags[@]}"; then
          printf -v "${_name}" true
          shift
          continue
        fi
        is_one_of "${_name}" "${options[@]}" ||
          usage_error "unknown option --${_name}$(suggest "${_name}")"
        (($# > 1)) || usage_error "--${_name} needs a value"
        printf -v "${_name}" '%s' "$2"
        shift 2 ;;
      *) usage_error "unexpected argument '$1'" ;;
    esac
  done
  for _name in "${numbers[@]}"; do
    [[ ${!_name} =~ ^(0|[1-9][0-9]*)$ ]] ||
      usage_error "--${_name} takes a whole number, got '${!_name}'"
  done
  ((${#stages[@]} == 0)) && return
  ((stage >= 1 && stage <= ${#stages[@]})) ||
    usage_error "--stage ${stage}: stages are 1 to ${#stages[@]}"
  ((stage <= stop_stage)) || usage_error "--stop_stage ${stop_stage} is before --stage ${stage}"
}

# run CMD...: the only door to side effects; with --dry_run it prints the command for pasting.
run() {
  if [[ ${dry_run} == true ]]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

# use_python: puts the project's environment first on PATH, made on first use by tools/install.sh.
# XEUS_PYTHON=/path/to/python3 takes an environment of your own instead (a cluster's module, conda).
use_python() {
  export PYTHONPATH=${repository}${PYTHONPATH:+:${PYTHONPATH}}
  if [[ -n ${XEUS_PYTHON:-} ]]; then
    python=${XEUS_PYTHON}
  else
    python=${repository}/tools/venv/bin/python3
    run "${repository}/tools/install.sh" --quiet_if_done
  fi
  run "${python}" "${repository}/tools/check_install.py" --quick
}

# note_time NUMBER NAME SECONDS: a row of `times`, where a recipe wants one.
note_time() {
  [[ -n ${times} && ${dry_run} == false ]] || return 0
  mkdir -p "$(dirname "${times}")"
  [[ -f ${times} ]] || printf 'stage\tname\tseconds\n' > "${times}"
  printf '%s\t%s\t%s\n' "$@" >> "${times}"
}

# note_command: one line "time command" beside `times`, so that results say how they were made;
# the command is to be given in the repository.
note_command() {
  [[ -n ${times} && ${dry_run} == false ]] || return 0
  mkdir -p "$(dirname "${times}")"
  local line
  line=$(printf '%q ' "${typed[@]//"${repository}"\//}")
  printf '%(%F %T)T\t%s\n' -1 "${line% }" >> "$(dirname "${times}")/commands.tsv"
}

# run_stages: call stage_NAME for every one of `stages` within the bounds.
run_stages() {
  local n=0 name
  note_command
  for name in "${stages[@]}"; do
    n=$((n + 1))
    ((n >= stage && n <= stop_stage)) || continue
    log "stage ${n} (${name})"
    current="stage ${n} (${name}) failed; fix it, then resume with --stage ${n}"
    trap 'log "${current}"' ERR
    began=${SECONDS}
    "stage_${name}" # plainly, never in `if` or `||`: those switch errexit off inside
    trap - ERR
    note_time "${n}" "${name}" $((SECONDS - began))
  done
}
