#!/usr/bin/env bash
# The C core under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer:  run.sh
#
# 1. The programs of tests/native, with address and undefined; the random operations longer than elsewhere.
# 2. Those of them that have threads, with thread.
# 3. The conformance suite, the leases, and the engine in C on uring, with the extensions built so, in a copy: those in
#    the checkout are not touched.
# 4. One canary for each sanitizer must fail: a sanitizer that reports nothing proves nothing.
#
# Environment: PYTHON is the interpreter with the test requirements (default python3); CC must be gcc, whose runtime
# libraries are preloaded (default gcc); RANDOM_SECONDS (default 10) and RANDOM_SEED (default: from the clock).
# Exits with 0 when all of it holds, 1 when something failed, 77 when io_uring is refused here.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
export CC=${CC:-gcc}
random_seconds=${RANDOM_SECONDS:-10}
random_seed=${RANDOM_SEED:-$(date +%s)}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failures=0

threaded="threads wake sleep_race wait_in_other_thread wait_while_others_call close_while_others_wait whole_transfers"
threaded+=" datagram_threads idle_together last_watcher close_elsewhere"
threaded+=" wait_without_news close_before_taken closed_ports close_while_short"
memory_flags="-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
thread_flags="-O1 -fno-omit-frame-pointer -fsanitize=thread"
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1

# A randomised address space with much entropy is more than ThreadSanitizer of gcc 12 can map.
fixed_addresses=()
setarch -R true 2>/dev/null && fixed_addresses=(setarch -R)

fail() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# check NAME COMMAND...: the command succeeds; its output is shown if it does not.
check() {
    local name=$1 start=$SECONDS
    shift
    "$@" >"$scratch/output" 2>&1
    local code=$?
    if [ $code = 0 ]; then
        printf 'passed  %-34s %3d s\n' "$name" $((SECONDS - start))
    elif [ $code = 77 ] && grep -q '^no ring here' "$scratch/output"; then
        tail -n 1 "$scratch/output"
        exit 77
    else
        grep -v '^seed ' "$scratch/output" | tail -n 60
        fail "$name (exit $code)"
    fi
}

# canary NAME REPORT COMMAND...: the command fails, with this report.
canary() {
    local name=$1 report=$2
    shift 2
    if timeout 60 "$@" >"$scratch/output" 2>&1; then
        fail "$name: the sanitizer did not stop it"
    elif ! grep -q "$report" "$scratch/output"; then
        tail -n 20 "$scratch/output"
        fail "$name: no report of '$report'"
    else
        printf 'failed as it must  %s: %s\n' "$name" "$(grep -o -m 1 "$report" "$scratch/output")"
    fi
}

build() { bash "$root/tests/native/build.sh" "$@"; }

echo "== C programs: address, undefined"
build "$scratch/memory" -- $memory_flags || exit 1
build "$scratch/memory" canary_address canary_undefined -- $memory_flags || exit 1
canary "use of freed memory" "heap-use-after-free" "$scratch/memory/canary_address"
canary "signed overflow" "signed integer overflow" "$scratch/memory/canary_undefined"
for program in "$scratch"/memory/*; do
    name=$(basename "$program")
    case $name in
        core | canary_* | random_operations) ;;
        *) check "$name" timeout 120 "$program" ;;
    esac
done
check "random_operations, seed $random_seed" \
    timeout 120 "$scratch/memory/random_operations" "$random_seconds" "$random_seed"

echo "== C programs: thread"
# shellcheck disable=SC2086
build "$scratch/thread" $threaded canary_thread -- $thread_flags || exit 1
canary "data race" "data race" "${fixed_addresses[@]}" "$scratch/thread/canary_thread"
for name in $threaded; do
    check "$name" timeout 120 "${fixed_addresses[@]}" "$scratch/thread/$name"
done

echo "== conformance suite: address, undefined"
# What a reference counts in the interpreter is no leak of ours, and it never frees all at its end.
sanitized=(
    env -C "$scratch/checkout" PYTHONPATH="$scratch/checkout" PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
    ASAN_OPTIONS=detect_leaks=0:abort_on_error=1 TRIO_RIO_PROVIDER=uring
    LD_PRELOAD="$("$CC" -print-file-name=libasan.so):$("$CC" -print-file-name=libubsan.so)"
)
mkdir "$scratch/checkout"
tar -C "$root" -c --exclude='*.so' --exclude=__pycache__ setup.py pyproject.toml README.md LICENSE trio_rio tests docs |
    tar -C "$scratch/checkout" -x || exit 1
check "build of the extension" \
    env -C "$scratch/checkout" CFLAGS="$memory_flags -UNDEBUG" "$python" setup.py -q build_ext --inplace
check "the extension in use is that one" "${sanitized[@]}" "$python" -c '
import trio_rio.rio._uring_native as core, trio_rio._engine._native as engine, sys, pathlib
for native in core, engine:
    assert pathlib.Path(native.__file__).is_relative_to(sys.argv[1]), native.__file__
    assert b"__asan_init" in pathlib.Path(native.__file__).read_bytes()' "$scratch/checkout"
check "conformance on uring" "${sanitized[@]}" timeout 200 "$python" -m pytest -q -x tests/conformance
tail -n 1 "$scratch/output"
canary "a view of freed memory" "heap-use-after-free" "${sanitized[@]}" "$python" -c '
import ctypes
memory = bytearray(1 << 20)
view = memoryview((ctypes.c_char * len(memory)).from_address(ctypes.addressof(ctypes.c_char.from_buffer(memory))))
del memory
bytes(view)'
check "leases on uring" "${sanitized[@]}" timeout 200 "$python" -m pytest -q -x tests/unit/test_lease.py \
    tests/engine/test_lease_misuse.py tests/engine/test_stream_leases.py
tail -n 1 "$scratch/output"

check "engine in C" "${sanitized[@]}" timeout 300 "$python" -m pytest -q -x tests/engine/test_engine_in_c.py \
    tests/engine/test_send_now.py tests/engine/test_contracts.py tests/engine/test_stream_as_stock.py \
    tests/engine/test_nothing_lost.py -k uring
tail -n 1 "$scratch/output"

printf '%d failures, %d s\n' "$failures" "$SECONDS"
[ $failures = 0 ]
