#!/bin/sh
# Writes the policy under which a page is served, in C: proxyd/page.sh PAGE >> data.c
#
# The page has one <style> and one <script>, whose tags stand on lines of their own, at the beginning. A browser runs what is
# between them if it has the SHA-256 that the policy names.
set -eu
LC_ALL=C
export LC_ALL

[ $# = 1 ] || { echo "usage: $0 PAGE" >&2; exit 2; }

# What is between the tags, to the byte: it begins with the end of the opening tag's line.
between() { # TAG PAGE
	awk -v tag="$1" '
	$0 == "</" tag ">" { inside = 0; closed++ }
	inside { print }
	$0 == "<" tag ">" { print ""; inside = 1; opened++ }
	index($0, "<" tag) { named++ }
	END { if (opened != 1 || closed != 1 || named != 1) exit 1 }' "$2" || {
		echo "$2: there must be one <$1> and one </$1>, each on a line of its own" >&2
		exit 1
	}
}

# As Content-Security-Policy has it: base64 of the hash.
hash() { # TAG PAGE
	text=$(between "$1" "$2" && echo .)
	printf %s "${text%.}" | sha256sum | awk '
	function bits(digit) { return index("0123456789abcdef", digit) - 1 }
	{
		letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		# Three hex digits are two letters. Of the 64 one is left: a letter, and the padding.
		for (i = 1; i <= 63; i += 3) {
			word = bits(substr($1, i, 1)) * 256 + bits(substr($1, i + 1, 1)) * 16 + bits(substr($1, i + 2, 1))
			out = out substr(letters, int(word / 64) + 1, 1) substr(letters, word % 64 + 1, 1)
		}
		print out substr(letters, bits(substr($1, 64, 1)) * 4 + 1, 1) "="
	}'
}

style=$(hash style "$1")
script=$(hash script "$1")
printf '\nconst char page_policy[] =\n'
printf '\t"%s"\n' "default-src 'none'; style-src 'sha256-$style'; script-src 'sha256-$script'; connect-src 'self'; " \
	"frame-ancestors 'none'; base-uri 'none'; form-action 'none'" | sed '$s/$/;/'
