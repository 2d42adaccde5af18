// Package forecast tells which statements of the access log would be refused once
// columns are sealed.
//
// The log has statements without their literals. Each is planned anew with parameters
// in their place, for who asked then: by a policy that seals the columns, and by the
// same one that does not. What only the first refuses is what sealing would refuse.
// Statements that cannot be planned so are counted, and are in neither list.
package forecast

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
	"github.com/pgveil/pgveil/rewrite/parse"
)

// Forecast counts statements.
type Forecast struct {
	sealed, clear *rewrite.Engine
	path          string // search_path, as it is set
	access        map[[4]string]*asking
	statements    map[key]*Statement
	report        Report
}

// asking is somebody who asks, by both policies; nil engines' sessions where the claim
// does not hold today.
type asking struct {
	id            uint64
	sealed, clear *rewrite.Session
}

type key struct {
	shape string
	id    uint64
}

// Report is what a forecast comes to.
type Report struct {
	Statements int64        `json:"statements"` // of the log, refused ones left out
	Refused    []*Statement `json:"refused"`    // those that sealing would refuse
	Unplanned  []*Statement `json:"unplanned"`  // those that cannot be planned without their literals, or for who asked then
}

// Count gives how many statements of a list there were.
func Count(list []*Statement) (n int64) {
	for _, s := range list {
		n += s.Count
	}
	return n
}

// Statement is one form of statement.
type Statement struct {
	Shape string   `json:"shape"`
	Count int64    `json:"count"`
	Users []string `json:"users"`
	Why   string   `json:"why,omitempty"`
	Hint  string   `json:"hint,omitempty"`

	verdict verdict
}

type verdict uint8

const (
	fine verdict = iota
	refused
	unplanned
)

// New begins a forecast by an engine whose policy seals the columns and one whose does
// not; where there is no such, nil, what is refused may be refused for something else.
// path is the search_path of the sessions, "" for the server's default.
func New(sealed, clear *rewrite.Engine, path string) *Forecast {
	return &Forecast{sealed: sealed, clear: clear, path: path, access: map[[4]string]*asking{}, statements: map[key]*Statement{}}
}

// Add counts a record.
func (f *Forecast) Add(r *audit.Record) {
	if r.Kind != audit.KindStatement || r.Decision == "refuse" || r.Command == "PRIVACY" {
		return
	}
	f.report.Statements++
	user := cmp.Or(r.User, r.Login)
	who, why := f.who(r)
	k := key{r.Shape, who.id}
	s := f.statements[k]
	if s == nil {
		s = &Statement{Shape: r.Shape}
		if f.statements[k] = s; why != nil {
			s.verdict, s.Why = unplanned, why.Error()
		} else {
			f.judge(s, who)
		}
	}
	s.Count++
	if at, found := slices.BinarySearch(s.Users, user); !found {
		s.Users = slices.Insert(s.Users, at, user)
	}
}

// who gives who asked, as both policies see it today.
func (f *Forecast) who(r *audit.Record) (*asking, error) {
	claim := policy.Claim{Login: r.Login, Purpose: r.Purpose}
	if r.User != r.Login {
		claim.User = r.User
	}
	if from, err := netip.ParseAddrPort(r.Client); err == nil {
		claim.From = from.Addr()
	}
	k := [4]string{claim.Login, claim.User, claim.Purpose, claim.From.String()}
	if a := f.access[k]; a != nil {
		return a, a.why()
	}
	a := &asking{}
	f.access[k] = a
	for _, one := range []struct {
		engine *rewrite.Engine
		into   **rewrite.Session
	}{{f.sealed, &a.sealed}, {f.clear, &a.clear}} {
		if one.engine == nil {
			*one.into = a.sealed
			continue
		}
		access, err := one.engine.Policy.Decide(claim)
		if err != nil {
			return a, a.why()
		}
		s, err := one.engine.Session(access, f.path)
		if err != nil {
			return a, a.why()
		}
		*one.into, a.id = &s, access.ID
	}
	return a, nil
}

func (a *asking) why() error {
	if a.sealed == nil || a.clear == nil {
		return fmt.Errorf("the policy does not know who asked, or what for")
	}
	return nil
}

// judge plans a statement by both policies.
func (f *Forecast) judge(s *Statement, who *asking) {
	s.verdict, s.Why = unplanned, "it cannot be read without its literals"
	if s.Shape == "" {
		s.Why = "the log does not have its text"
		return
	}
	for _, text := range texts(s.Shape) {
		if _, err := parse.Parse(text); err != nil {
			continue
		}
		if f.clear != nil {
			if _, err := f.clear.Plan(*who.clear, text); err != nil {
				s.Why = "it would be refused without sealing, too: " + err.Error()
				continue
			}
		}
		s.verdict, s.Why = fine, ""
		if _, err := f.sealed.Plan(*who.sealed, text); err != nil {
			s.verdict, s.Why = refused, err.Error()
			if r, ok := err.(*rewrite.Refusal); ok {
				s.Hint = r.Hint
			}
		}
		return
	}
}

var (
	parameter = regexp.MustCompile(`\$[0-9]+`)
	folded    = regexp.MustCompile(`(?is)^(\s*insert\s+into\s+[^()]+\(([^()]+)\)\s*values\s*\()\?(\).*)$`)
)

// texts gives statements of a shape: with parameters in the place of literals, and with
// literals that stand where no parameter can.
func texts(shape string) []string {
	if m := folded.FindStringSubmatch(shape); m != nil { // lists of literals are one in shapes
		shape = m[1] + "?" + strings.Repeat(", ?", strings.Count(m[2], ",")) + m[3]
	}
	n := 0
	for _, p := range parameter.FindAllString(shape, -1) {
		var of int
		if _, err := fmt.Sscanf(p, "$%d", &of); err == nil {
			n = max(n, of)
		}
	}
	return []string{
		replaced(shape, func() string { n++; return fmt.Sprintf("$%d", n) }),
		replaced(shape, func() string { return "'1'" }),
		replaced(shape, func() string { return "1" }),
	}
}

// replaced gives a shape with something in the place of each question mark outside of
// names in quotes.
func replaced(shape string, with func() string) string {
	var b strings.Builder
	quoted := false
	for i := range len(shape) {
		switch c := shape[i]; {
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case c == '?' && !quoted:
			b.WriteString(with())
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// Report gives what was counted, the most frequent first.
func (f *Forecast) Report() *Report {
	r := f.report
	r.Refused, r.Unplanned = []*Statement{}, []*Statement{}
	merged := map[string]*Statement{}
	for _, s := range f.statements {
		if s.verdict == fine {
			continue
		}
		name := fmt.Sprint(s.verdict, s.Why, s.Shape)
		if same := merged[name]; same != nil {
			same.Count += s.Count
			same.Users = slices.Compact(slices.Sorted(slices.Values(append(same.Users, s.Users...))))
			continue
		}
		one := *s
		merged[name] = &one
	}
	for _, s := range merged {
		if s.verdict == refused {
			r.Refused = append(r.Refused, s)
		} else {
			r.Unplanned = append(r.Unplanned, s)
		}
	}
	for _, list := range [][]*Statement{r.Refused, r.Unplanned} {
		slices.SortFunc(list, func(a, b *Statement) int {
			return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Shape, b.Shape))
		})
	}
	return &r
}
