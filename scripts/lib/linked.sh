# shellcheck shell=bash
# What the finished module must look like from outside, read from the file that would be installed.

check_linked() {
    local module=$1
    holds 'only pam_sm_* are exported' exports_pam_only "$module"
    holds 'stays loaded (NODELETE)' has_dynamic "$module" 'FLAGS_1.*NODELETE'
    holds 'resolved at load (BIND_NOW)' has_dynamic "$module" '(BIND_NOW|FLAGS_1.*NOW)'
    holds 'relocations read-only (GNU_RELRO)' has_segment "$module" 'GNU_RELRO'
    holds 'stack not executable (GNU_STACK RW)' has_segment "$module" 'GNU_STACK .* RW +[0-9]'
    holds 'named pam_ivalt.so (SONAME)' has_dynamic "$module" 'SONAME.*\[pam_ivalt\.so\]'
}

# One thing that is as it must be or is not, in the words scripts/test counts.
holds() {
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
