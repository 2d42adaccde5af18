package rewrite

import (
	"bytes"
	"regexp"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// CommentPurpose gives the purpose that a comment in a text names, in the way
// of sqlcommenter: /* pgveil.purpose='support' */. It holds for that text. Of
// several, the last counts. For a text that names none it allocates nothing.
func CommentPurpose(text []byte) (purpose string, ok bool) {
	if !bytes.Contains(text, []byte(PurposeSetting)) || !bytes.Contains(text, []byte("/*")) {
		return "", false
	}
	comments, err := parse.Comments(string(text))
	if err != nil {
		return "", false // it will not be planned either
	}
	for _, c := range comments {
		if m := commentPurpose.FindStringSubmatch(c); m != nil {
			purpose, ok = m[1], true
		}
	}
	return purpose, ok
}

var commentPurpose = regexp.MustCompile(`pgveil\.purpose\s*=\s*'([^']*)'`)
