# shellcheck shell=bash
# The package in a system that has booted.

installed_changes_no_login_case() {
    start_from installed
    guest expect_logins_without_ivalt
}
