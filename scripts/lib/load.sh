# shellcheck shell=bash
# Brings in the parts the scripts share, and names the checkout (or the copy of it on the stage) they belong to.
umask 022
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

# shellcheck source=scripts/lib/speak.sh
. "$repo/scripts/lib/speak.sh"
# shellcheck source=scripts/lib/children.sh
. "$repo/scripts/lib/children.sh"
# shellcheck source=scripts/lib/machine.sh
. "$repo/scripts/lib/machine.sh"
# shellcheck source=scripts/lib/build.sh
. "$repo/scripts/lib/build.sh"
# shellcheck source=scripts/lib/stage.sh
. "$repo/scripts/lib/stage.sh"
# shellcheck source=scripts/lib/cast.sh
. "$repo/scripts/lib/cast.sh"
# shellcheck source=scripts/lib/play.sh
. "$repo/scripts/lib/play.sh"
