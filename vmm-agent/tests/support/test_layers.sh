#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test_layers.sh SOURCE_DIRECTORY - includes between the agent's folders point one way: a folder may
# use itself and those before it in the list
set -u
cd "$1" || exit 1
seen=""
failures=0
for folder in support grid store forecast plan simulate act dr api cli; do
    [ -d "$folder" ] || continue
    seen="$seen $folder"
    for used in $(cat "$folder"/*.[ch] | sed -n 's/^#include "\([a-z]*\)\/.*/\1/p' | sort -u); do
        case " $seen " in
        *" $used "*) ;;
        *)
            echo "$folder/ includes $used/, which is not before it:"
            grep -n "#include \"$used/" "$folder"/*.[ch]
            failures=$((failures + 1))
            ;;
        esac
    done
done
[ $failures -eq 0 ] && echo "includes point one way"
exit $failures
