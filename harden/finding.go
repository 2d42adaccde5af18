package harden

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
)

// Severity is how wide a finding leaves the door. The zero Severity is none.
type Severity uint8

// The severities.
const (
	Note Severity = iota + 1 // to be looked at by somebody who knows the site
	Weak                     // makes a way around easier, or what leaves by it more
	Open                     // a way around
)

func (s Severity) String() string {
	if s < Note || s > Open {
		return "none"
	}
	return [...]string{"note", "weak", "open"}[s-Note]
}

// MarshalText writes the word.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is something that was found.
type Finding struct {
	ID       string   `json:"id"` // of the check
	Severity Severity `json:"severity"`
	Object   string   `json:"object"` // what it is about
	Says     string   `json:"says"`
	Fix      []string `json:"fix,omitempty"`  // statements that close it
	Hand     []string `json:"hand,omitempty"` // what to do by hand
}

// Accepted tells whether a list of check or check:object names the finding.
func (f *Finding) Accepted(list []string) bool {
	return slices.Contains(list, f.ID) || slices.Contains(list, f.ID+":"+f.Object)
}

// Site is who may come to the database, and from where.
type Site struct {
	Own     string   // pgveil's own login
	Logins  []string // by which pgveil comes for clients, by their own proof or its own
	Assumed []string // roles that sessions are put into, and that log in nowhere
	Known   []string // logins that may go around: backup, replication, monitoring

	Unix    bool           // pgveil comes by the server's socket
	Proxies []netip.Prefix // addresses that it comes from
	TLS     bool           // and it does so under TLS
}

// keep gives the logins that must be able to connect.
func (s *Site) keep() []string {
	all := slices.Concat([]string{s.Own}, s.Logins, s.Known)
	slices.Sort(all)
	return slices.Compact(all)
}

// ours gives the logins that pgveil comes by.
func (s *Site) ours() []string {
	all := append([]string{s.Own}, s.Logins...)
	slices.Sort(all)
	return slices.Compact(all)
}

// Script writes findings as a script for psql, which may be run again.
func Script(w io.Writer, findings []Finding) error {
	var b strings.Builder
	fixes := 0
	b.WriteString("-- What pgveil found that leads around it. Run as a superuser, or the owner of all that it names.\n\\set ON_ERROR_STOP on\nBEGIN;\n")
	for _, f := range findings {
		fmt.Fprintf(&b, "\n-- [%s] %s: %s\n--   %s\n", f.Severity, f.ID, comment(f.Object), comment(f.Says))
		for _, sql := range f.Fix {
			fmt.Fprintln(&b, sql+";")
			fixes++
		}
		for _, line := range f.Hand {
			fmt.Fprintln(&b, "--   by hand: "+comment(line))
		}
	}
	if len(findings) == 0 {
		b.WriteString("\n-- Nothing.\n")
	}
	fmt.Fprintf(&b, "\nCOMMIT; -- %d statements\n", fixes)
	_, err := io.WriteString(w, b.String())
	return err
}

// comment makes a text stay within its comment: names may hold line feeds.
func comment(text string) string { return strings.Join(strings.FieldsFunc(text, newline), " ") }

func newline(c rune) bool { return c == '\n' || c == '\r' || c == '\v' || c == '\f' }
