#!/bin/sh
# Turns the probes into C: envgen/probes/compile.sh envgen/probes/probe.* > probe_data.c
set -eu
LC_ALL=C
export LC_ALL

[ $# -gt 0 ] || { echo "usage: $0 FILE..." >&2; exit 2; }

cat <<'HEAD'
/* Made by envgen/probes/compile.sh from envgen/probes; changes go there. */
#include "verify_clients.h"

HEAD

printf '%s\n' "$@" | awk '
function escape(text) {
	gsub(/\\/, "\\\\&", text)
	gsub(/"/, "\\\"", text)
	gsub(/\t/, "\\t", text)
	gsub(/\?/, "\\?", text)
	return text
}
{
	file = name = $1
	sub(/.*\//, "", name)
	printf "static const char text_%d[] =", NR
	while ((status = (getline line < file)) > 0)
		printf "\n\t\"%s\\n\"", escape(line)
	if (status < 0) {
		printf "cannot read %s\n", file > "/dev/stderr"
		exit 1
	}
	close(file)
	print ";\n"
	rows = rows sprintf("\t{\"%s\", text_%d, sizeof text_%d - 1},\n", name, NR, NR)
}
END {
	if (status < 0)
		exit 1
	printf "const struct verify_probe verify_probe_list[] = {\n%s};\n", rows
	print "const size_t verify_probe_count = sizeof verify_probe_list / sizeof *verify_probe_list;"
}'
