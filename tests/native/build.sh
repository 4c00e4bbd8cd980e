#!/usr/bin/env bash
# Compile the C core and the programs of this folder:  build.sh OUTPUT_FOLDER [NAME...] [-- COMPILER_FLAGS...]
#
# Without names all programs but the canaries are built. CC names the compiler. A program that replaces functions of
# libc says so in its second line: "Link with: FLAGS".
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
core=$(cd "$here/../../trio_rio/rio/native" && pwd)

output=$1
shift
names=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    names+=("$1")
    shift
done
[ $# -eq 0 ] || shift
if [ ${#names[@]} -eq 0 ]; then
    for path in "$here"/*.c; do
        name=$(basename "$path" .c)
        [[ $name == canary_* ]] || names+=("$name")
    done
fi

export CC=${CC:-gcc}
export FLAGS="-std=c11 -g -Wall -Wextra -Werror -UNDEBUG -pthread $*"
export here core output
mkdir -p "$output/core"

compile() { $CC $FLAGS -I"$core" -c "$core/$1.c" -o "$output/core/$1.o"; }
link() {
    $CC $FLAGS -I"$core" -I"$here" "$here/$1.c" "$output"/core/*.o -o "$output/$1" \
        $(sed -n '2s/.*Link with: \(.*\) \*\/$/\1/p' "$here/$1.c")
}
export -f compile link
jobs=$(getconf _NPROCESSORS_ONLN)
(cd "$core" && printf '%s\n' *.c) | sed 's/\.c$//' | xargs -P "$jobs" -I{} bash -c 'compile {}'
printf '%s\n' "${names[@]}" | xargs -P "$jobs" -I{} bash -c 'link {}'
