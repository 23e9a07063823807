#!/usr/bin/env bash
# Trains on the hosts of a file, by ssh:
#
#   scripts/launch.sh hosts.txt train.ts [options of lockstep launch]
#
# hosts.txt has a host a line, with a number of workers behind a colon; # begins a comment. Run it in the folder of the project.
set -euo pipefail

if [ $# -lt 2 ] || [ "$1" = -h ] || [ "$1" = --help ]; then
  sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"
  exit 2
fi
hosts=$1
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -f "$root/src/cli/main.ts" ]; then
  tsx=$(node -p 'require("node:url").pathToFileURL(require.resolve("tsx", { paths: [process.argv[1]] })).href' "$root")
  exec node --conditions=lockstep-source --import "$tsx" "$root/src/cli/main.ts" launch --hosts-file "$hosts" "$@"
fi
exec node "$root/dist/src/cli/main.js" launch --hosts-file "$hosts" "$@"
