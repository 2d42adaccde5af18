package requests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// approve counts one more person who agrees to what was planned.
func (s *Service) approve(ctx context.Context, tx pgx.Tx, r *state.Request, cmd privacy.Command, by By, witness Witness) error {
	if err := waits(r, "approvals are"); err != nil && !undecided(*r) {
		return err
	}
	if r.PlanHash == "" {
		return privacy.Fail(privacy.SchemaChanged, "PRIVACY PLAN REQUEST "+cmd.ID, "nothing is planned yet: there is nothing to agree to")
	}
	if !by.Proven {
		return privacy.Fail(privacy.NotAllowed, "log in as yourself, or bring a signed token", "who approves must be known for certain")
	}
	switch {
	case undecided(*r) && by.User == r.DespiteBy:
		return privacy.Fail(privacy.NotAllowed, "a second person does", "nobody approves the reason that they gave")
	case !undecided(*r) && by.User == r.OpenedBy:
		return privacy.Fail(privacy.NotAllowed, "a second person does", "nobody approves what they opened")
	}
	if err := s.named(*r, cmd); err != nil {
		return err
	}
	who, err := approvers(ctx, tx, *r)
	if err != nil {
		return err
	}
	if slices.Contains(who, by.User) {
		return privacy.Fail(privacy.NotAllowed, "", "you have approved this already")
	}
	if err := note(ctx, tx, *r, by.User, approved, cmd.Because, witness); err != nil {
		return err
	}
	return s.settle(ctx, tx, r)
}

// named refuses an approval of another plan than is there now and, where the
// policy wants that, one that does not say of which.
func (s *Service) named(r state.Request, cmd privacy.Command) error {
	set, _ := s.Data.Current()
	what, _ := policy.RequestTypeNamed(r.What)
	said := strings.ToLower(cmd.Request.Plan)
	switch {
	case said == "" && set.Requests().Need(what).ByPlan:
		return privacy.Fail(privacy.Syntax, "PRIVACY SHOW REQUEST "+cmd.ID+" shows its hash, as in PLAN '0123456789ab'", "it is not said which plan is approved, as the policy wants")
	case !strings.HasPrefix(matter(r), said):
		return privacy.Fail(privacy.SchemaChanged, "look at it again: PRIVACY SHOW REQUEST "+cmd.ID, "the plan is another now")
	}
	return nil
}

// approved is what the event of an approval says.
const approved = "approved"

// undecided tells whether somebody gave a reason to end an erasure despite what is
// left, and others have not agreed yet.
func undecided(r state.Request) bool { return r.State == state.RequestReview && r.Despite != "" }

// waiting tells whether a request may lack something that people are to give.
func waiting(r state.Request) bool { return r.State == state.RequestOpen || undecided(r) }

// matter is the hash of what people agree to: of the plan or, where a reason was
// given to end an erasure despite what is left, of that with who gave it and the
// places and rows that were shown.
func matter(r state.Request) string {
	if !undecided(r) {
		return r.PlanHash
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s", r.PlanHash, r.DespiteBy, r.Despite, r.Outcome))
	return hex.EncodeToString(sum[:])
}

// short gives as much of what people agree to as is shown, and needs to be said.
func short(r state.Request) string {
	hash := matter(r)
	return hash[:min(len(hash), 12)]
}

// approvers gives who agreed to the matter as it stands.
func approvers(ctx context.Context, tx pgx.Tx, r state.Request) (who []string, err error) {
	events, err := state.RequestEvents(ctx, tx, r.ID)
	for _, e := range events {
		if e.What == approved && e.Plan == matter(r) && !slices.Contains(who, e.Who) {
			who = append(who, e.Who)
		}
	}
	return who, err
}

// lacks says what a request still needs before it may run.
func (s *Service) lacks(ctx context.Context, tx pgx.Tx, r state.Request) (lacks []string, err error) {
	set, _ := s.Data.Current()
	what, _ := policy.RequestTypeNamed(r.What)
	need := set.Requests().Need(what)
	if level, _ := policy.IdentityNamed(r.Identity); level < need.Identity {
		lacks = append(lacks, "a check of the identity by "+need.Identity.String())
	}
	if r.PlanHash == "" {
		lacks = append(lacks, "a plan")
	}
	proven := r.Proven
	if undecided(r) {
		proven = r.Known
	}
	who, err := approvers(ctx, tx, r)
	if missing := approvals(need, proven) - len(who); missing > 0 {
		lacks = append(lacks, fmt.Sprintf("approvals: %d", missing))
	}
	return lacks, err
}

// lacking is lacks in words, of a request that is not over.
func (s *Service) lacking(ctx context.Context, r state.Request) (text string, err error) {
	if !waiting(r) {
		return "", nil
	}
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		lacks, err := s.lacks(ctx, tx, r)
		text = strings.Join(lacks, ", ")
		return err
	})
	return text, err
}

// approvals is how many others must agree with somebody. One whose name is not
// proven may be any of those who agree: one more keeps it at two persons, where
// the policy wants more than one.
func approvals(need policy.Need, proven bool) int {
	if need.Approvals > 0 && !proven {
		return need.Approvals + 1
	}
	return need.Approvals
}
