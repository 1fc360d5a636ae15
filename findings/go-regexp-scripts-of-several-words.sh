#!/usr/bin/env bash
# Go 1.25 and later refuse `\p{Old_Italic}`: regular expressions no longer know any Unicode script whose name has several words.
#
# Since 1.25 names of Unicode classes are taken in any case, and spaces, hyphens and underscores do not count. The name that was written is
# brought into one form for that; the scripts of several words (`Old_Italic`, `Tai_Le`, `SignWriting`), about a third of them, are
# looked up by a key that is in another form, and are not found. Expressions that Go 1.24 compiles are errors.
#
# For Bywash: stages take such names, as Promtail and Alloy did while they were built with older releases of Go. A configuration that
# uses them does not start in an Alloy that is built with Go 1.25 or 1.26.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > go.mod <<'MOD'
module classes

go 1.24
MOD
cat > main.go <<'GO'
package main

import (
	"fmt"
	"regexp"
)

func main() {
	for _, name := range []string{"Greek", "Old_Italic", "Tai_Le", "SignWriting"} {
		_, err := regexp.Compile(`\p{` + name + `}`)
		fmt.Println(name, err == nil)
	}
}
GO
export GOMODCACHE="$dir/modules" GOCACHE="$dir/cache" GOFLAGS=-modcacherw
before=$(GOTOOLCHAIN=go1.24.9 go run .)
after=$(GOTOOLCHAIN=go1.26.0 go run .)
printf 'go1.24.9 compiles:\n%s\ngo1.26.0 compiles:\n%s\n' "$before" "$after"
[ "$before" = $'Greek true\nOld_Italic true\nTai_Le true\nSignWriting true' ]
[ "$after" = $'Greek true\nOld_Italic false\nTai_Le false\nSignWriting false' ]
