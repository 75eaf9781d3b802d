# shellcheck shell=bash
# Loads what the scripts share, and sets $repo: the checkout, or the copy of it in the sandbox.
umask 022
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

# shellcheck source=scripts/lib/output.sh
. "$repo/scripts/lib/output.sh"
# shellcheck source=scripts/lib/children.sh
. "$repo/scripts/lib/children.sh"
# shellcheck source=scripts/lib/requirements.sh
. "$repo/scripts/lib/requirements.sh"
# shellcheck source=scripts/lib/build.sh
. "$repo/scripts/lib/build.sh"
# shellcheck source=scripts/lib/sandbox.sh
. "$repo/scripts/lib/sandbox.sh"
# shellcheck source=scripts/lib/fixtures.sh
. "$repo/scripts/lib/fixtures.sh"
# shellcheck source=scripts/lib/steps.sh
. "$repo/scripts/lib/steps.sh"
