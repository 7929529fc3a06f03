#!/usr/bin/env bash
# Tests the bash completion of pali, called as bash calls it.   usage: test_completion.sh packaging/program/pali.bash
set -euo pipefail
source "$1"

completes() { # completes EXPECTED WORD...: EXPECTED must be among the completions of the last word
    local wanted=$1
    shift
    COMP_WORDS=(pali "$@") COMP_CWORD=$#
    _pali
    [[ " ${COMPREPLY[*]} " == *" $wanted "* ]] || { echo "pali $*: ${COMPREPLY[*]} lacks $wanted" && exit 1; }
}
completes detect de
completes --version --
completes --format detect --for
completes coco detect --format ""
completes int4 quantize --weights in
completes --out collect --o
COMP_WORDS=(pali detect --image pho) COMP_CWORD=3
_pali
[[ ${#COMPREPLY[@]} -eq 0 ]] || exit 1 # file names, which bash completes itself
echo passed
