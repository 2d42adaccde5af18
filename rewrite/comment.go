package rewrite

import (
	"bytes"
	"net/url"
	"regexp"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// Said is what comments in a text say of who asks, in the way of sqlcommenter:
// /* pgveil.end_user='alice',pgveil.purpose='support' */. It holds for that text
// alone. What is "" is not said.
type Said struct{ User, Purpose, Token, Ticket string }

// asks is what a text that says something holds.
var asks = []byte("pgveil")

// MaySay tells whether ReadComments has to read a text, which takes time in
// proportion to its length.
func MaySay(text []byte) bool {
	return bytes.Contains(text, asks) && bytes.Contains(text, []byte("/*"))
}

// ReadComments gives what the comments of a text say, and the text without them.
// ok is false for a text that says nothing; for nearly all of those it
// allocates nothing. A text that says two things is refused: one of them was
// put there by somebody else.
func ReadComments(text []byte) (said Said, bare []byte, ok bool, err error) {
	if !MaySay(text) {
		return Said{}, text, false, nil
	}
	places, err := parse.Comments(string(text))
	if err != nil {
		return Said{}, text, false, nil // it will not be planned either
	}
	for _, p := range places {
		found, err := said.read(text[p.Start:p.End])
		if err != nil {
			return Said{}, nil, true, err
		}
		if found {
			bare, ok = blank(text, bare, p), true
		}
	}
	if !ok {
		return Said{}, text, false, nil
	}
	return said, bytes.TrimRight(bare, " "), true, nil
}

// blank takes a comment out of what is left of a text; places in the text stay
// where they are.
func blank(text, bare []byte, p parse.Place) []byte {
	if bare == nil {
		bare = bytes.Clone(text)
	}
	for i := p.Start; i < p.End; i++ {
		bare[i] = ' '
	}
	return bare
}

// commentPair is one name and value. A quote in a value is escaped by a
// backslash, or is encoded as in a URL.
var commentPair = regexp.MustCompile(`\bpgveil[._](\w+)\s*=\s*'((?:[^'\\]|\\.)*)'`)

// read takes in what one comment says.
func (s *Said) read(comment []byte) (found bool, err error) {
	for _, m := range commentPair.FindAllSubmatch(comment, -1) {
		into := map[string]*string{"end_user": &s.User, "purpose": &s.Purpose, "token": &s.Token, "ticket": &s.Ticket}[string(m[1])]
		value, err := url.PathUnescape(string(m[2]))
		switch {
		case into == nil:
			return true, refuse("a comment may say pgveil.end_user, pgveil.purpose, pgveil.token and pgveil.ticket", "a comment says %q, which is not known", "pgveil."+string(m[1]))
		case err != nil || value == "" || bytes.IndexByte(m[2], '\\') >= 0:
			return true, refuse("write the value encoded as in a URL", "the value of %q in a comment cannot be read", "pgveil."+string(m[1]))
		case *into != "" && *into != value:
			return true, refuse("", "the comments say two different things of %q", "pgveil."+string(m[1]))
		}
		*into, found = value, true
	}
	return found, nil
}
