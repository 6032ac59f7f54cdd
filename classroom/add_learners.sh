#!/usr/bin/env bash
# Makes a Unix account for each name, with the course in its home folder, and prints its password:
#     sudo classroom/add_learners.sh alice bob > passwords.txt
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || { echo "name the learners: $0 alice bob ..." >&2; exit 1; }

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
.venv/bin/python -m course_utils.classroom student "$home" >/dev/null
groupadd --force learners
groupadd --force teachers
for name; do
    if id "$name" >/dev/null 2>&1; then
        echo "$name has an account: left as it is" >&2
        continue
    fi
    # no 0 and O, no 1 and l: it is typed from paper
    password=$(tr -dc 'a-km-np-z2-9' </dev/urandom | head -c 12 || true)
    useradd --create-home --skel "$home" --key HOME_MODE=0700 --shell /bin/bash \
        --groups learners "$name"
    echo "$name:$password" | chpasswd
    echo "$name $password"
done
