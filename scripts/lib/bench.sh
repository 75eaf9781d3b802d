# shellcheck shell=bash
# What scripts/bench measures with: the C programs of tests/bench, and namespaces in which nothing outside is touched.

bench_tools=$cache/bench

# A C program of tests/bench; what follows its name is what it is linked with.
compile_tool() {
    local name=$1
    shift
    as_builder cc -O2 -D_GNU_SOURCE -Wall -Wextra -Werror ${openssl_headers:+-I"$openssl_headers"} \
        -o "$bench_tools/$name" "$repo/tests/bench/$name.c" "$@"
}

# Linked by the file names that are loaded at run time: those exist without the development packages.
compile_tools() {
    as_builder mkdir -p "$bench_tools"
    require_openssl_headers
    compile_tool login -l:libpam.so.0
    compile_tool least -l:libssl.so.3 -l:libcrypto.so.3
    compile_tool clock
    compile_tool read_once
    compile_tool relay
}

require_openssl_headers() {
    local folder unpacked=$cache/openssl
    openssl_headers=''
    ! cc -E -include openssl/ssl.h -x c /dev/null >/dev/null 2>&1 || return 0
    folder=$(fetch_packages libssl libssl-dev)
    as_builder rm -rf "$unpacked"
    unpack_packages "$folder" "$unpacked"
    openssl_headers=$unpacked/usr/include
    # opensslconf.h is in a folder named after the architecture.
    CPATH=$(printf '%s:' "$unpacked"/usr/include/*-linux-gnu)
    export CPATH
}

build_measured() {
    build_module
    run_child as_builder cargo build --quiet --manifest-path "$repo/Cargo.toml" --release --locked \
        --package pam_ivalt-tests --example bench --example syslog-sink --example ivalt-stand-in
}

# Without root, a user namespace, where the kernel allows one.
bench_namespaces() {
    [[ $(id -u) -eq 0 ]] || printf '%s\n' --user --map-root-user
}

can_bench() {
    local options
    mapfile -t options < <(bench_namespaces)
    unshare "${options[@]}" --mount --net --pid --fork true 2>/dev/null
}

# Runs the bench with these arguments; standard output is its report.
run_bench() {
    local options built=$target/release
    mapfile -t options < <(bench_namespaces)
    as_builder mkdir -p "$cache/bench-mount-point"
    in_namespaces "${options[@]}" -- "$repo/scripts/lib/enter-bench" "$cache/bench-mount-point" "$built/examples" "$bench_tools" \
        --module "$built/libpam_ivalt.so" "$@"
}

# Headings, columns, and the names of the rows of a report; of numbers only that they are there.
outline_of() {
    # shellcheck disable=SC2016
    awk -F ' [|] ' '
        /^## / { print }
        /^[|] [^-]/ && in_table { sub(/^[|] [0-9]+/, "| N"); sub(/^[|] N root:/, "| N roots:"); print $1 }
        /^[|] [^-]/ && !in_table { print; in_table = 1 }
        !/^[|]/ { in_table = 0 }
    ' "$1" | sort -u
}

# `outline_is_of PAGE REPORT`: fails, and says how they differ, where the page is not of the bench that printed the report.
# The page may have more where the report had to leave something out.
outline_is_of() {
    local only=-3 differing
    ! grep -qE '^(Left out|No tun device)' "$2" || only=-13
    differing=$(comm "$only" <(outline_of "$1") <(outline_of "$2"))
    printf '%s' "${differing:+$differing$'\n'}"
    [[ -z $differing ]]
}
