# shellcheck shell=bash
# What scripts/bench measures with: the C programs of tests/bench, and namespaces in which nothing outside is touched.

bench_tools=$stage_cache/bench

# A C program of tests/bench; what follows its name is what it is linked with.
compile_tool() {
    local name=$1
    shift
    as_builder cc -O2 -D_GNU_SOURCE -Wall -Wextra -Werror ${openssl_headers:+-I"$openssl_headers"} \
        -o "$bench_tools/$name" "$repo/tests/bench/$name.c" "$@"
}

# Linked by the names the libraries are loaded by: those are there without their development packages.
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
    local folder unpacked=$stage_cache/openssl
    openssl_headers=''
    ! cc -E -include openssl/ssl.h -x c /dev/null >/dev/null 2>&1 || return 0
    folder=$(fetch_packages libssl libssl-dev)
    as_builder rm -rf "$unpacked"
    unpack_packages "$folder" "$unpacked"
    openssl_headers=$unpacked/usr/include
    # opensslconf.h lies in a folder named after the machine.
    CPATH=$(printf '%s:' "$unpacked"/usr/include/*-linux-gnu)
    export CPATH
}

build_measured() {
    build_module
    run_child as_builder cargo build --quiet --manifest-path "$repo/Cargo.toml" --release --locked \
        --package pam_ivalt-tests --example bench --example syslog-sink --example ivalt-stand-in
}

# Namespaces without root, where the kernel grants them; the bench needs no more than these.
bench_namespaces() {
    [[ $(id -u) -eq 0 ]] || printf '%s\n' --user --map-root-user
}

can_bench() {
    local more
    mapfile -t more < <(bench_namespaces)
    unshare "${more[@]}" --mount --net --pid --fork true 2>/dev/null
}

# Runs the bench with these arguments; standard output is its report.
in_bench() {
    local more built=$target/release
    mapfile -t more < <(bench_namespaces)
    as_builder mkdir -p "$stage_cache/bench-root"
    in_namespaces "${more[@]}" -- "$repo/scripts/lib/enter-bench" "$stage_cache/bench-root" "$built/examples" \
        --tools "$bench_tools" --module "$built/libpam_ivalt.so" "$@"
}
