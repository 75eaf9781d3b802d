# shellcheck shell=bash
# What the finished module must look like from outside, read from the file that would be installed.

check_linked() {
    local module=$1
    linked 'only pam_sm_* are exported' exports_pam_only "$module"
    linked 'stays loaded (NODELETE)' has_dynamic "$module" 'FLAGS_1.*NODELETE'
    linked 'resolved at load (BIND_NOW)' has_dynamic "$module" '(BIND_NOW|FLAGS_1.*NOW)'
    linked 'relocations read-only (GNU_RELRO)' has_segment "$module" 'GNU_RELRO'
    linked 'stack not executable (GNU_STACK RW)' has_segment "$module" 'GNU_STACK .* RW +[0-9]'
    linked 'named pam_ivalt.so (SONAME)' has_dynamic "$module" 'SONAME.*\[pam_ivalt\.so\]'
}

linked() {
    local name=$1
    shift
    if "$@"; then echo "ok $name"; else echo "FAILED $name"; fi
}

exports_pam_only() {
    local names
    names=$(nm --dynamic --defined-only --format=posix "$1" | cut -d' ' -f1)
    grep -qx pam_sm_authenticate <<<"$names" && ! grep -qv '^pam_sm_' <<<"$names"
}

has_dynamic() { grep -qE "$2" <<<"$(readelf --dynamic --wide "$1")"; }
has_segment() { grep -qE "^ +$2" <<<"$(readelf --segments --wide "$1")"; }
