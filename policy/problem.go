package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a policy file. Lines and columns start at 1.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// line names the place as decisions cite it: "policy/crm.yaml:42".
func (p Pos) line() string { return fmt.Sprintf("%s:%d", p.File, p.Line) }

func (p Pos) compare(q Pos) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Problem is one thing wrong with a policy.
type Problem struct {
	Pos  Pos
	Text string
}

// Problems is everything wrong with a policy, one a line, in the order of the
// files: whoever mends a policy wants to see all of it at once.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.Pos.String() + ": " + problem.Text
	}
	return strings.Join(lines, "\n")
}

// maxProblems bounds what a hopeless file can make us say, and with it the
// work that suggestions cost.
const maxProblems = 200

// problems collects what is wrong. The zero problems is ready.
type problems struct {
	found  Problems
	unsaid int
}

func (p *problems) add(pos Pos, format string, args ...any) {
	if len(p.found) == maxProblems {
		p.unsaid++
		return
	}
	p.found = append(p.found, Problem{pos, fmt.Sprintf(format, args...)})
}

// unknown reports a name that means nothing here, and what may have been meant.
func (p *problems) unknown(pos Pos, what, name string, known []string) {
	if len(p.found) == maxProblems {
		p.unsaid++
		return
	}
	p.add(pos, "unknown %s %q%s", what, name, didYouMean(name, known))
}

// err gives the problems as one error, or nil when there are none.
func (p *problems) err() error {
	if len(p.found) == 0 {
		return nil
	}
	slices.SortStableFunc(p.found, func(a, b Problem) int { return a.Pos.compare(b.Pos) })
	if p.unsaid > 0 {
		last := p.found[len(p.found)-1].Pos
		return append(slices.Clip(p.found), Problem{last, fmt.Sprintf("and %d more problems", p.unsaid)})
	}
	return p.found
}

// didYouMean gives "; did you mean …?" for the known name nearest to name, or
// nothing when none is near.
func didYouMean(name string, known []string) string {
	best, least := "", 2+len(name)/4
	for _, k := range known {
		if max(len(name)-len(k), len(k)-len(name)) > least || len(name) > 4*maxName {
			continue
		}
		d := EditDistance(name, k)
		if d < least || d == least && best != "" && k < best {
			best, least = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
