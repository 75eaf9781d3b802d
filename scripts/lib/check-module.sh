# shellcheck shell=bash
# Checks the exports and link options of the finished module and ivaltctl, read from the files that would be installed.

check_linked() {
    local module=$1
    assert 'only pam_sm_* are exported' exports_pam_only "$module"
    assert 'stays loaded (NODELETE)' has_dynamic "$module" 'FLAGS_1.*NODELETE'
    assert 'resolved at load (BIND_NOW)' has_dynamic "$module" '(BIND_NOW|FLAGS_1.*NOW)'
    assert 'relocations read-only (GNU_RELRO)' has_segment "$module" 'GNU_RELRO'
    assert 'stack not executable (GNU_STACK RW)' has_segment "$module" 'GNU_STACK .* RW +[0-9]'
    assert 'named pam_ivalt.so (SONAME)' has_dynamic "$module" 'SONAME.*\[pam_ivalt\.so\]'
    assert 'glibc 2.34 is enough' needs_glibc_2_34 "$module"
    assert 'libgcc_s is loaded at the first panic alone (not NEEDED)' needs_no_libgcc "$module"
}

check_linked_tool() {
    local tool=$1
    assert 'ivaltctl: position-independent (PIE)' has_dynamic "$tool" 'FLAGS_1.*PIE'
    assert 'ivaltctl: resolved at load (BIND_NOW)' has_dynamic "$tool" '(BIND_NOW|FLAGS_1.*NOW)'
    assert 'ivaltctl: relocations read-only (GNU_RELRO)' has_segment "$tool" 'GNU_RELRO'
    assert 'ivaltctl: stack not executable (GNU_STACK RW)' has_segment "$tool" 'GNU_STACK .* RW +[0-9]'
    assert 'ivaltctl: glibc 2.34 is enough' needs_glibc_2_34 "$tool"
}

# `assert NAME COMMAND…`: whether it succeeds, in the words that scripts/test counts.
assert() {
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
needs_no_libgcc() { ! has_dynamic "$1" 'NEEDED.*libgcc_s'; }
has_segment() { grep -qE "^ +$2" <<<"$(readelf --segments --wide "$1")"; }

# Every version counts: glibc does not load a file with one that it lacks, also where only weak symbols need it.
needs_glibc_2_34() {
    local versions
    versions=$(readelf --version-info --wide "$1" | sed -n '/^Version needs/,$ s/.*Name: GLIBC_\([^ ]*\).*/\1/p')
    [[ -n $versions && $(printf '%s\n' 2.34 "$versions" | sort --version-sort | tail -n 1) == 2.34 ]]
}
