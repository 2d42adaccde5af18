package report

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"

	"github.com/pgveil/pgveil/audit"
)

// SignOff says that somebody read a review, and what they found. It is kept
// beside the review as a note: these lines, an empty one, and, where there is a
// key, a signature (golang.org/x/mod/sumdb/note). Its first line is no origin of
// a log and its second no number, so that it can never be taken for a
// checkpoint; and it is signed by the audit key under another name.
type SignOff struct {
	Reviewer string
	Decision string // Approved or Rejected
	Note     string
	By       string // who ran it, as the system knows them
	At       time.Time
	Digest   string // SHA-256 of the review's file
	Before   string // SHA-256 of the sign-off before, or none
	Heads    string // of the logs that the review was made from
}

// The decisions.
const (
	Approved = "approved"
	Rejected = "rejected"
)

const (
	signOffTitle = "pgveil access review, signed off"
	noneBefore   = "none"
)

// SignOffOrigin is the name under which the key of a log signs reviews.
func SignOffOrigin(origin string) string { return origin + "/review" }

// Digest is SHA-256, in hexadecimal.
func Digest(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// lines gives the fields in order.
func (s *SignOff) lines() []struct {
	name string
	to   *string
} {
	return []struct {
		name string
		to   *string
	}{
		{"reviewer", &s.Reviewer}, {"decision", &s.Decision}, {"note", &s.Note}, {"run by", &s.By},
		{"review sha256", &s.Digest}, {"sign-off before, sha256", &s.Before}, {"logs", &s.Heads},
	}
}

// check finds what cannot be signed.
func (s *SignOff) check() error {
	if strings.TrimSpace(s.Reviewer) == "" {
		return errors.New("a review is signed off by somebody: the name is missing")
	}
	if s.Decision != Approved && s.Decision != Rejected {
		return fmt.Errorf("the decision is %s or %s, not %q", Approved, Rejected, s.Decision)
	}
	for _, l := range s.lines() {
		if strings.ContainsFunc(*l.to, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("%s: it must be one line of text that can be printed", l.name)
		}
	}
	return nil
}

// Sign writes the note. Without a key it has no signature, and proves nothing
// by itself: its digest, kept elsewhere, does.
func (s *SignOff) Sign(key *audit.Key) ([]byte, error) {
	if s.Before == "" {
		s.Before = noneBefore
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("sign off: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nat: %s\n", signOffTitle, s.At.UTC().Format(time.RFC3339))
	for _, l := range s.lines() {
		fmt.Fprintf(&b, "%s: %s\n", l.name, *l.to)
	}
	if key == nil {
		return []byte(b.String() + "\n"), nil
	}
	signer := key.For(SignOffOrigin(key.Name()))
	signed, err := note.Sign(&note.Note{Text: b.String()}, signer)
	if err != nil {
		return nil, fmt.Errorf("sign off: %w", err)
	}
	return signed, nil
}

// ParseSignOff reads a note, and checks its signature: with keys, one of them
// must have signed. By is the one that did; nil when no keys were given.
func ParseSignOff(text []byte, keys []audit.PublicKey) (s SignOff, by *audit.PublicKey, err error) {
	if err := s.parse(text); err != nil {
		return s, nil, fmt.Errorf("sign-off: %w", err)
	}
	if len(keys) == 0 {
		return s, nil, nil
	}
	for _, k := range keys {
		k = k.For(SignOffOrigin(k.Name()))
		opened, err := note.Open(text, note.VerifierList(k))
		if err == nil && strings.HasPrefix(string(text), opened.Text) {
			return s, &k, nil
		}
	}
	return s, nil, errors.New("sign-off: none of the keys signed it, or it is not as it was signed")
}

func (s *SignOff) parse(text []byte) error {
	body, _, ok := strings.Cut(string(text), "\n\n")
	lines := strings.Split(body, "\n")
	fields := s.lines()
	if !ok || len(lines) != 2+len(fields) || lines[0] != signOffTitle {
		return errors.New("it is not one, or not whole")
	}
	at, ok := strings.CutPrefix(lines[1], "at: ")
	if !ok {
		return errors.New("it has no time")
	}
	var err error
	if s.At, err = time.Parse(time.RFC3339, at); err != nil {
		return fmt.Errorf("its time: %w", err)
	}
	for i, f := range fields {
		value, ok := strings.CutPrefix(lines[2+i], f.name+": ")
		if !ok {
			return fmt.Errorf("line %d is not %q", 3+i, f.name)
		}
		*f.to = value
	}
	return s.check()
}
