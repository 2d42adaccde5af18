package rewrite

import (
	"bytes"
	"net/url"
	"regexp"
	"strings"

	"github.com/pgveil/pgveil/rewrite/parse"
)

// Said is what comments in a text say of who asks, in the way of sqlcommenter:
// /* pgveil.end_user='alice',pgveil.purpose='support' */. It holds for that text
// alone. What is "" is not said.
type Said struct{ User, Purpose, Token, Ticket string }

// MaySay tells whether ReadComments has to read a text, which takes time in
// proportion to its length.
func MaySay(text []byte) bool {
	return bytes.Contains(text, []byte("/*")) && mentions(text)
}

// mentions tells whether a text holds the word pgveil, in letters of any case.
func mentions(text []byte) bool {
	const word = "pgveil"
	for at := 0; at < len(text); at++ {
		n := bytes.IndexAny(text[at:], "vV") // the rarest of its letters
		if n < 0 {
			return false
		}
		at += n
		if at >= 2 && at+4 <= len(text) && bytes.EqualFold(text[at-2:at+4], []byte(word)) {
			return true
		}
	}
	return false
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
var commentPair = regexp.MustCompile(`(?i)\bpgveil[._](\w+)\s*=\s*'((?:[^'\\]|\\.)*)'`)

// commentName is where a comment means to say something.
var commentName = regexp.MustCompile(`(?i)\bpgveil[._]\w+\s*=`)

// read takes in what one comment says.
func (s *Said) read(comment []byte) (found bool, err error) {
	pairs := commentPair.FindAllSubmatch(comment, -1)
	if len(pairs) != len(commentName.FindAll(comment, -1)) {
		return true, refuse("write it as in /* pgveil.end_user='alice' */", "what a comment says of who asks cannot be read")
	}
	for _, m := range pairs {
		into := map[string]*string{"end_user": &s.User, "purpose": &s.Purpose, "token": &s.Token, "ticket": &s.Ticket}[strings.ToLower(string(m[1]))]
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
