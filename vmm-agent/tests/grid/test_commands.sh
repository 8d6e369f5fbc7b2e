#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test_commands.sh VMM_AGENT WRITE_FIXTURES - the signals and store commands as a person uses them
set -u
agent=$(realpath "$1")
fixtures=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

# expect CODE TEXT COMMAND... - exit code and a piece of what is said
expect() {
    code=$1 text=$2
    shift 2
    said=$("$@" 2>&1)
    got=$?
    case $got:$said in
    "$code":*"$text"*) ;;
    *)
        echo "FAIL: $*: expected exit $code and '$text', got $got: $said"
        failures=$((failures + 1))
        ;;
    esac
}

mkdir files in
"$fixtures" spot files || exit 1
"$fixtures" outlook files || exit 1
now=--now=2026-04-06T10:00+09:00
cp files/spot_2026.csv broken.csv
printf '2026/04/02,99' >> broken.csv

expect 0 "area-actual" "$agent" signals formats
expect 0 '"format": "spot"' "$agent" signals parse "$now" --json files/spot_2026.csv
expect 1 "every one of 11 series" "$agent" signals check "$now" files/spot_2026.csv
expect 0 "12 of 12 points usable" "$agent" signals check "$now" files/td_power_usages_pc.html
expect 3 "broken.csv:" "$agent" signals check broken.csv
expect 3 '"readable": false' "$agent" signals check --json broken.csv
expect 3 "cannot open" "$agent" signals parse nothing.csv
expect 2 "did you mean --json?" "$agent" signals parse --jsn x
expect 2 "expects FILE...; 0 given" "$agent" signals parse
expect 2 "did you mean 'signals'?" "$agent" signal
expect 0 "new or revised values" "$agent" signals import "$now" files/spot_2026.csv
expect 0 " 0 new or revised values" "$agent" signals import "$now" files/spot_2026.csv
expect 3 "broken.csv" "$agent" signals import "$now" broken.csv
expect 1 "price_spot" "$agent" signals show price_spot --area kyushu --from 2026-04-01
expect 1 "the store has no" "$agent" signals show pv --area kyushu
expect 2 "did you mean 'price_spot'?" "$agent" signals show price_spt
expect 2 "--from: expected a day" "$agent" signals show pv --from yesterday
expect 0 "the store is sound" "$agent" store check
expect 0 "records" "$agent" store export all.jsonl
expect 0 "records_added" "$agent" store import --store copy.db all.jsonl
expect 0 "records_added: 0" "$agent" store import --store copy.db all.jsonl
"$agent" store export --store copy.db > again.jsonl 2> /dev/null
cmp -s all.jsonl again.jsonl || { echo "FAIL: export, import, export differ"; failures=$((failures + 1)); }
head -c 500 all.jsonl > cut.jsonl
expect 3 "cut.jsonl" "$agent" store import --store copy.db cut.jsonl
echo hello > text.db
expect 4 "text.db" "$agent" store check --store text.db

cat > agent.yaml << YAML
store:
  path: watched.db
  retention:
    signals_days: 1
sources:
  - name: inbox
    directory: $work/in
    stale_s: 3600
YAML
cp files/spot_2026.csv in/
expect 3 "source inbox: its newest value is" "$agent" signals watch --config agent.yaml --once
expect 0 "rows_deleted" "$agent" store retention --config agent.yaml
"$agent" signals watch --config agent.yaml --quiet > watch.log 2>&1 &
watcher=$!
tries=0
until grep -q "newest value" watch.log || [ $tries -eq 100 ]; do # it is up when it has complained
    tries=$((tries + 1))
    sleep 0.1
done
kill -TERM $watcher
wait $watcher || { echo "FAIL: watch does not end well on SIGTERM"; cat watch.log; failures=$((failures + 1)); }
sed -i 's/signals_days: 1/signals_days: many/' agent.yaml
expect 2 "agent.yaml:4:19: signals_days: expected a number, found 'many'" \
    "$agent" store check --config agent.yaml
printf 'sources:\n  - name: a\n    url: http://127.0.0.1/\n    busy_w: 3\n' > agent.yaml
expect 2 "agent.yaml:4:13: 'busy_w' has no meaning for a source of kind url" \
    "$agent" signals watch --config agent.yaml
printf '0.1,60\n0.9,140\n' > power.csv
expect 0 "busy_w: 150.0" "$agent" signals calibrate power.csv
printf '0.1;60\n' > power.csv
expect 3 "power.csv:1:1: expected 'busy,power'" "$agent" signals calibrate power.csv
expect 0 "_vmm_agent" "$agent" completion bash
"$agent" completion bash | bash -n || failures=$((failures + 1))

[ $failures -eq 0 ] && echo "all commands behave"
exit $failures
