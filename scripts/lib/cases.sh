# shellcheck shell=bash
# Cases: functions `…_case` that are run one by one and reported as `ok NAME (SECONDS s)` or `FAILED NAME: FAULTS`.

passed=0 failed=0

# Each case starts with what `reset_sandbox` makes, which whoever loads this defines; one that ends early does not end
# the others.
run_case() {
    local name=$1 ending=0 started=$SECONDS
    start_recording
    : >"$sandbox/faults"
    set +e
    (
        set -e
        reset_sandbox
        "$name"
        printf '%s\n' "${faults[@]}" >"$sandbox/faults"
    ) >"$sandbox/case-output" 2>&1
    ending=$?
    set -e
    [[ $ending -eq 0 ]] || echo "ended early, status $ending: $(tail -n1 "$sandbox/case-output")" >>"$sandbox/faults"
    report_case "${name%_case}" "$((SECONDS - started)) s"
}

report_case() {
    local name=$1 took=$2 found
    found=$(sed '/^$/d' "$sandbox/faults")
    if [[ -z $found ]]; then
        passed=$((passed + 1))
        echo "ok $name ($took)"
    else
        failed=$((failed + 1))
        echo "FAILED $name: ${found//$'\n'/; }"
        show_terminal
        tail -n "+$log_mark" "$log" | sed 's/^/    log: /'
    fi
}

count_cases() {
    printf '%d passed, %d failed, 0 skipped\n' "$passed" "$failed"
    [[ $failed -eq 0 ]]
}
