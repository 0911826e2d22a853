#!/bin/sh
# `node-env.sh COMMAND...` runs a command of this node with the variables of ~/darkroom.env. Systemd starts Ray by it.
#
# Nothing else reads that file, so a value means the same to all. It is taken as it is: a shell would end it at an `&`.

file=$HOME/darkroom.env

refuse() {
    echo "$file: $1" >&2
    exit 78
}

set_variable() {
    name=${1%%=*} value=${1#*=}
    case $name in
    "$1" | '' | [0-9]* | *[!A-Za-z0-9_]*) refuse "line $number is not NAME=VALUE. Correct it, or begin it with #." ;;
    esac
    case $value in
    '') refuse "$name has no value. Fill it in, or remove the line." ;;
    [\"\']*) refuse "$name begins with a quote. Remove the quotes: a value is taken as it is." ;;
    *[[:space:]]) refuse "$name ends with a space. Remove it: a value is taken as it is." ;;
    esac
    export "$name=$value"
}

[ -f "$file" ] || refuse "there is no such file. Copy it to this node."
[ -z "$(find -L "$file" -perm /077)" ] || refuse "other users can read the secrets in it. Run chmod 600 $file."
number=0
while IFS= read -r line || [ -n "$line" ]; do
    number=$((number + 1))
    case $line in
    '' | '#'*) ;;
    *) set_variable "$line" ;;
    esac
done <"$file"
export RAY_AUTH_MODE=token PATH="$HOME/darkroom/bin:$PATH"
exec "$@"
