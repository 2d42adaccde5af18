package dsar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// Action is what an erasure does with rows. The zero Action is none.
type Action uint8

// The actions.
const (
	Refuse    Action = iota + 1 // the erasure cannot happen
	SetNull                     // the reference to a row that goes is taken out of a row that stays
	Delete                      // the row goes
	Anonymise                   // the row stays, and tells of nobody any more
	Keep                        // the row stays as it is
)

var actionNames = []string{"none", "refuse", "set null", "delete", "anonymise", "keep"}

func (a Action) String() string {
	if int(a) >= len(actionNames) {
		return actionNames[0]
	}
	return actionNames[a]
}

// MarshalText gives the action's name.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads it. The name of none is none.
func (a *Action) UnmarshalText(text []byte) error {
	i := slices.Index(actionNames, string(text))
	if i < 1 {
		return fmt.Errorf("no action is called %q", text)
	}
	*a = Action(i)
	return nil
}

// Step is one thing that an erasure does.
type Step struct {
	Table   string     `json:"table"`
	Rows    int64      `json:"rows"`
	Action  Action     `json:"action"`
	Path    string     `json:"path,omitempty"` // the references by which the rows are found
	Reason  string     `json:"reason,omitempty"`
	Until   *time.Time `json:"until,omitempty"`   // of Keep: when the last of the rows need no longer be kept
	Columns []Becomes  `json:"columns,omitempty"` // of Anonymise and SetNull: what changes
}

// Becomes is what a column holds after a row was anonymised.
type Becomes struct {
	Column string `json:"column"`
	Value  string `json:"value"` // in words
}

// ErasurePlan is what erasing a subject does, in the order in which it is
// done: what makes it impossible, what stays, references taken out, rows
// anonymised and deleted. It names no subject and holds no value of a row.
type ErasurePlan struct {
	Subject  string   `json:"subject"` // the kind
	Steps    []Step   `json:"steps"`
	Warnings []string `json:"warnings,omitempty"`

	// Scheme is what will be done to whichever rows are there: the fate of
	// each table in reach, each reference that is taken out, what triggers
	// write elsewhere. Rows that come later meet it too.
	Scheme []string `json:"scheme"`
}

// Hash names what will be done, whatever the number of rows is: who approves a
// plan approves that. New rows leave it as it is; another schema, policy or
// hold does not.
func (p ErasurePlan) Hash() string {
	sum := sha256.Sum256([]byte("pgveil erasure plan\n" + p.Subject + "\n" + strings.Join(p.Scheme, "\n")))
	return hex.EncodeToString(sum[:])
}

// Refused tells whether something makes the erasure impossible.
func (p ErasurePlan) Refused() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Action == Refuse })
}

// Rows counts the rows that would be written.
func (p ErasurePlan) Rows() (n int64) {
	for _, s := range p.Steps {
		if s.Action == SetNull || s.Action == Delete || s.Action == Anonymise {
			n += s.Rows
		}
	}
	return n
}

// refusal is the error of a plan that cannot be carried out.
func (p ErasurePlan) refusal() error {
	for _, s := range p.Steps {
		if s.Action == Refuse {
			return privacy.Fail(privacy.NotAllowed, "", "%d rows of %s: %s", s.Rows, s.Table, s.Reason)
		}
	}
	return nil
}

// about says in words why a step is taken, what the rows become, and until when
// they are kept.
func (s Step) about() string {
	words := []string{}
	if s.Reason != "" {
		words = append(words, s.Reason)
	}
	if s.Action == Anonymise {
		for _, c := range s.Columns {
			words = append(words, c.Column+": "+c.Value)
		}
	}
	if s.Until != nil {
		words = append(words, "until "+s.Until.UTC().Format(time.DateOnly))
	}
	return strings.Join(words, "; ")
}

// Report is a plan as people read it.
type Report struct {
	Steps    []Step
	Warnings []string
}

// Report gives the plan's steps and warnings.
func (p ErasurePlan) Report() Report { return Report{p.Steps, p.Warnings} }

// Refused tells whether something makes the erasure impossible.
func (r Report) Refused() bool {
	return len(r.Steps) > 0 && r.Steps[0].Action == Refuse
}

// DryRun finds out what erasing a subject would do, and changes nothing.
func DryRun(ctx context.Context, conn *pgx.Conn, g *Graph, key privacy.Key) (Report, error) {
	plan, err := PlanErasure(ctx, conn, g, key)
	return plan.Report(), err
}

// owns tells whether a table may hold rows that belong to the subject, rather
// than rows that refer to it loosely.
func (g *Graph) owns(table int) bool {
	return table == 0 || slices.ContainsFunc(g.Tables[table].in, func(l *Link) bool { return !l.Loose })
}
