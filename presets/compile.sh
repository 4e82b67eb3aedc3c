#!/bin/sh
# Turns presets/*.yaml into C: presets/compile.sh presets/*.yaml > preset_data.c
set -eu
LC_ALL=C
export LC_ALL

[ $# -gt 0 ] || { echo "usage: $0 FILE.yaml..." >&2; exit 2; }

cat <<'HEAD'
/* Made by presets/compile.sh from presets/NAME.yaml; changes go there. */
#include "preset.h"

HEAD

# By name, whatever the order of the arguments: preset_find() searches a sorted list.
for file in "$@"; do
	name=${file##*/}
	printf '%s %s\n' "${name%.yaml}" "$file"
done | sort -k 1,1 | awk '
function escape(text) {
	gsub(/\\/, "\\\\", text)
	gsub(/"/, "\\\"", text)
	return text
}
{
	name = $1
	file = $2
	printf "static const char text_%d[] =", NR
	while ((status = (getline line < file)) > 0)
		printf "\n\t\"%s\\n\"", escape(line)
	if (status < 0) {
		printf "cannot read %s\n", file > "/dev/stderr"
		exit 1
	}
	close(file)
	print ";\n"
	rows = rows sprintf("\t{\"%s\", \"presets/%s.yaml\", text_%d, sizeof text_%d - 1},\n", name, name, NR, NR)
}
END {
	if (status < 0)
		exit 1
	printf "const struct preset preset_list[] = {\n%s};\n", rows
	print "const size_t preset_count = sizeof preset_list / sizeof *preset_list;"
}'
