#!/usr/bin/env bash
# Trio's own test suite, on stock Trio and on this backend:  trio.sh [--times N] [--venv FOLDER] [PROVIDER...]
#
# PROVIDER is uring or portable (default: both). The suite runs once on stock Trio, then N times (default 1) on each
# provider. What passes on stock Trio must pass on the backend, each time; tests/suites/compare.py says what does not.
# Nothing is skipped or patched but what stock Trio cannot run here either: pyright, which downloads node.
#
# The suite, and all that its optional tests want, go into a virtual environment of its own (default: a folder that
# is deleted in the end), and this project with them, installed from the checkout. One that is there is used again.
#
# Environment: PYTHON is the interpreter of the virtual environment (default python3).
# Exits with 0 when all of it passed, 1 otherwise.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

times=1
venv=$scratch/venv
providers=()
while [ $# -gt 0 ]; do
    case $1 in
        --times) times=$2; shift 2 ;;
        --venv) venv=$(realpath -m "$2"); shift 2 ;;
        uring | portable) providers+=("$1"); shift ;;
        *) sed -n '2,/^set/{/^#/!d;s/^# \{0,1\}//p}' "$0"; exit 1 ;;
    esac
done
[ ${#providers[@]} -gt 0 ] || providers=(uring portable)

# pytest 9 changed what three tests of trio.testing.RaisesGroup compare with.
requirements=(
    trio==0.35.0 "pytest>=8.4,<9"
    astor async_generator black cffi coverage jedi mypy pylint pyopenssl pyyaml ruff trustme types-cffi types-pyOpenSSL
)

unset TRIO_RIO_PROVIDER
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
"$venv/bin/python" -m pip install -q "${requirements[@]}"
# Built in a copy: an extension that is in the checkout, and its build folder, stay as they are.
mkdir "$scratch/source"
tar -C "$root" -c --exclude='*.so' --exclude=__pycache__ setup.py pyproject.toml README.md LICENSE MANIFEST.in \
    CHANGELOG.md SECURITY.md newsfragments trio_rio _trio_rio_switch.py trio_rio.pth | tar -C "$scratch/source" -x
"$venv/bin/python" -m pip install -q --force-reinstall --no-deps "$scratch/source"
"$venv/bin/python" -m pip install -q "$scratch/source"

# suite NAME [OPTION...]: run it; the JUnit file of the run gets the name.
suite() {
    local name=$1 code=0
    shift
    mkdir -p "$scratch/empty"
    # The exit code is no verdict: it is 1 for the one test that may fail. A run that broke off has no JUnit file.
    env -C "$scratch/empty" PATH="$venv/bin:$PATH" timeout 900 "$venv/bin/python" -m pytest --pyargs trio \
        -p trio._tests.pytest_plugin -p no:cacheprovider --run-slow -k "not pyright_verifytypes" -q --tb=long \
        -o faulthandler_timeout=200 -o junit_family=xunit1 --junit-xml="$scratch/$name.xml" "$@" \
        >"$scratch/$name.log" 2>&1 || code=$?
    printf '%-14s %s\n' "$name" "$(tail -n 1 "$scratch/$name.log")"
    if [ $code -gt 1 ]; then
        tail -n 100 "$scratch/$name.log"
        exit 1
    fi
}

suite stock
for provider in "${providers[@]}"; do
    for ((turn = 1; turn <= times; turn++)); do
        suite "$provider-$turn" -p trio_rio.pytest_plugin --rio-provider="$provider"
    done
done
runs=()
for provider in "${providers[@]}"; do
    for ((turn = 1; turn <= times; turn++)); do runs+=("$scratch/$provider-$turn.xml"); done
done
"$venv/bin/python" "$root/tests/suites/compare.py" "$scratch/stock.xml" "${runs[@]}"
