#!/bin/sh
# Turns text files into a C table, which HEADER declares: common/texts.sh HEADER STRUCT MEMBERS FILE... > data.c
#
# Rows of STRUCT_list begin with MEMBERS, of "name" (probe.py), "stem" (probe) and "path" (as given), each a string; text
# and length follow. They are in the order of the stems. STRUCT_count says how many. Paths have no blanks.
set -eu
LC_ALL=C
export LC_ALL

[ $# -gt 3 ] || { echo "usage: $0 HEADER STRUCT MEMBERS FILE..." >&2; exit 2; }
header=$1 struct=$2 members=$3
shift 3

printf '/* Made by common/texts.sh from files of %s; changes go there. */\n#include "%s"\n\n' "${1%/*}" "$header"

# By stem, whatever the order of the arguments: preset_find() searches a sorted list.
for file in "$@"; do
	name=${file##*/}
	printf '%s %s %s\n' "${name%.*}" "$name" "$file"
done | sort -k 1,1 | awk -v struct="$struct" -v members="$members" '
function escape(text) {
	# "&" stands for what was found: awks differ in what a mere pair of backslashes is.
	gsub(/["\\?]/, "\\\\&", text)
	return text
}
BEGIN {
	count = split(members, member, " ")
}
{
	part["stem"] = $1
	part["name"] = $2
	file = part["path"] = $3
	printf "static const char text_%d[] =", NR
	while ((status = (getline line < file)) > 0)
		printf "\n\t\"%s\\n\"", escape(line)
	if (status < 0) {
		printf "cannot read %s\n", file > "/dev/stderr"
		exit 1
	}
	close(file)
	print ";\n"
	rows = rows "\t{"
	for (i = 1; i <= count; i++)
		rows = rows "\"" part[member[i]] "\", "
	rows = rows sprintf("text_%d, sizeof text_%d - 1},\n", NR, NR)
}
END {
	if (status < 0)
		exit 1
	printf "const struct %s %s_list[] = {\n%s};\n\n", struct, struct, rows
	printf "const size_t %s_count = sizeof %s_list / sizeof *%s_list;\n", struct, struct, struct
}'
