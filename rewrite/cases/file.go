package cases

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/policy"
)

// Verb says how a case is run. The zero Verb is none.
type Verb uint8

// The verbs.
const (
	VerbPlan Verb = iota + 1
	VerbRows
	VerbAudit
)

var verbs = map[string]Verb{"plan": VerbPlan, "rows": VerbRows, "audit": VerbAudit}

func (v Verb) String() string {
	for name, verb := range verbs {
		if verb == v {
			return name
		}
	}
	return "nothing"
}

// separator stands between the SQL of a case and what is expected of it.
const separator = "----"

// Case is one case of a file, with the directives that hold for it.
type Case struct {
	Line       int    // of the verb
	Comment    string // what is promised
	Verb       Verb
	Fixture    string
	Who        string // as as wrote it
	Claim      policy.Claim
	At         time.Time // when it takes place; zero: whenever it runs
	SearchPath string    // as set wrote it; "" for the server's default
	Reveals    []string
	Since      int // the server's major version that it needs; 0 for any
	SQL        string
	Want       []string

	start, end int // of the expected block among the file's lines
}

// File is a .case file.
type File struct {
	Path  string
	Cases []Case

	lines []string
}

// Load reads a .case file. Its error names the line at fault.
func Load(path string) (*File, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load cases: %w", err)
	}
	return Parse(path, string(text))
}

// Parse reads the text of a .case file.
func Parse(path, text string) (*File, error) {
	p := &parser{file: &File{Path: path, lines: strings.Split(text, "\n")}}
	for p.line < len(p.file.lines) {
		if err := p.next(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, p.line+1, err)
		}
	}
	switch {
	case p.reveals != nil || p.since != 0:
		return nil, fmt.Errorf("%s: reveals or since at the end has no case below it", path)
	case len(p.file.Cases) == 0:
		return nil, fmt.Errorf("%s: there is no case in it", path)
	}
	return p.file, nil
}

// parser goes through a file line by line.
type parser struct {
	file    *File
	line    int  // the next one, from 0
	current Case // the directives that hold
	comment []string
	reveals []string
	since   int
}

// next reads one directive or case.
func (p *parser) next() error {
	line := strings.TrimRight(p.file.lines[p.line], " \t\r")
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	verb, isVerb := verbs[word]
	switch {
	case line == "":
	case strings.HasPrefix(line, "#"):
		if p.line == 0 || !strings.HasPrefix(p.file.lines[p.line-1], "#") {
			p.comment = nil
		}
		p.comment = append(p.comment, strings.TrimSpace(line[1:]))
	case isVerb && rest != "":
		return fmt.Errorf("%s takes no argument, but has %q", word, rest)
	case isVerb:
		return p.read(verb)
	default:
		if err := p.directive(word, rest); err != nil {
			return err
		}
	}
	p.line++
	return nil
}

func (p *parser) directive(word, rest string) error {
	if rest == "" && slices.Contains([]string{"use", "as", "set", "reveals", "since"}, word) {
		return fmt.Errorf("%s needs an argument", word)
	}
	switch word {
	case "use":
		if strings.Contains(rest, " ") {
			return fmt.Errorf("use takes one fixture, not %q", rest)
		}
		p.current = Case{Fixture: rest}
		return nil
	case "as":
		return p.as(rest)
	case "set":
		return p.set(rest)
	case "reveals":
		p.reveals = append(p.reveals, strings.Fields(rest)...)
		return nil
	case "since":
		var err error
		if p.since, err = strconv.Atoi(rest); err != nil || p.since < 10 {
			return fmt.Errorf("since takes a major version of PostgreSQL, not %q", rest)
		}
		return nil
	default:
		return fmt.Errorf("unknown directive or verb %q; there are use, as, set, reveals, since, plan, rows and audit", word)
	}
}

func (p *parser) set(rest string) error {
	name, value, _ := strings.Cut(rest, " ")
	value = strings.TrimSpace(value)
	switch {
	case value == "":
		return fmt.Errorf("set %s needs a value", name)
	case name == "search_path":
		p.current.SearchPath = value
	case name == "pgveil.purpose":
		p.current.Claim.Purpose = value
	default:
		return fmt.Errorf("unknown setting %q; there are search_path and pgveil.purpose", name)
	}
	return nil
}

// read reads a case, whose verb stands on the current line.
func (p *parser) read(verb Verb) error {
	c := p.current
	if c.Fixture == "" || c.Who == "" {
		return fmt.Errorf("%s needs a use and an as above it", verb)
	}
	c.Line, c.Verb, c.Reveals, c.Since = p.line+1, verb, p.reveals, p.since
	c.Comment = strings.Join(p.comment, " ")
	lines := p.file.lines
	first := p.line + 1
	at := first
	for ; at < len(lines) && lines[at] != separator; at++ {
		if _, ok := verbs[lines[at]]; ok {
			return fmt.Errorf("%s on line %d has no %s", verb, c.Line, separator)
		}
	}
	if at == len(lines) {
		return fmt.Errorf("%s has no %s", verb, separator)
	}
	if c.SQL = strings.TrimSpace(strings.Join(lines[first:at], "\n")); c.SQL == "" {
		return fmt.Errorf("%s has no SQL", verb)
	}
	c.start = at + 1
	for at = c.start; at < len(lines) && lines[at] != ""; at++ {
	}
	c.end, c.Want = at, lines[c.start:at]
	p.file.Cases = append(p.file.Cases, c)
	p.line, p.reveals, p.since = at, nil, 0
	return nil
}

// rewritten gives the file's text with other expected blocks.
func (f *File) rewritten(blocks map[int][]string) string {
	var out []string
	from := 0
	for i, c := range f.Cases {
		if block, ok := blocks[i]; ok {
			out = append(append(out, f.lines[from:c.start]...), block...)
			from = c.end
		}
	}
	return strings.Join(append(out, f.lines[from:]...), "\n")
}
