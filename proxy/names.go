package proxy

import (
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/rewrite"
)

// meaning gives what a name stands for when the next message gets to the
// server; nil when nothing. Where that hangs on answers that are not here, it
// waits for them: a Parse whose name is taken leaves the name as it was, and
// what it was may be made for another purpose.
func (s *session) meaning(n *names, name []byte) (*named, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.unguarded() || !n.uncertain(name, s.batch) {
		return n.get(name), nil
	}
	if s.hurriedC {
		return nil, errWaits
	}
	s.mu.Unlock()
	err := s.toS.Flush()
	s.mu.Lock()
	for err == nil && s.ended == nil && n.uncertain(name, s.batch) {
		s.settled.Wait()
	}
	return n.get(name), errors.Join(err, s.ended)
}

func refuseOtherAccess(what string, name []byte) error {
	return &rewrite.Refusal{Code: "42501", Message: fmt.Sprintf("%s %q was opened for another role or purpose, or under another policy", what, name), Hint: "open it again"}
}

// checkNames refuses EXECUTE and FETCH of what was made for another access than
// that of who asks, and what would leave the session's role where it must not.
func (s *session) checkNames(p *rewrite.Plan, by party) error {
	if err := s.deputy.checkRoles(p); err != nil {
		return err
	}
	if free(by.access) || !p.Has(rewrite.Prepares|rewrite.Forgets|rewrite.Executes|rewrite.Fetches|rewrite.Ends) {
		return nil
	}
	for _, step := range p.Steps {
		if step.Effect&(rewrite.Prepares|rewrite.Forgets|rewrite.Executes) != 0 && s.ours([]byte(step.Name)) {
			return refuseOurs([]byte(step.Name))
		}
	}
	s.mu.Lock()
	unsettled := s.unsettled || s.oneShot
	s.mu.Unlock()
	if unsettled && len(p.Steps) > 1 && p.Has(rewrite.Ends) {
		return &rewrite.Refusal{Code: "0A000", Message: "what follows the end of the transaction in the same text depends on settings that end with it", Hint: "send the statements one by one"}
	}
	for _, step := range p.Steps {
		what, code, known := "prepared statement", "26000", &s.statements
		switch {
		case step.Effect&rewrite.Executes != 0:
		case step.Effect&rewrite.Fetches != 0:
			what, code, known = "cursor", "34000", &s.portals
		default:
			continue
		}
		made, err := s.meaning(known, []byte(step.Name))
		if err != nil {
			return err
		}
		if made == nil && !madeBefore(p, step) {
			return &rewrite.Refusal{Code: code, Message: fmt.Sprintf("%s %q does not exist", what, step.Name)}
		}
		if made != nil && made.plan.Access.ID != by.access.ID {
			return refuseOtherAccess(what, []byte(step.Name))
		}
		if writesCurrent(step) && (made != nil && made.plan.Has(rewrite.Unfiltered) || p.Has(rewrite.Unfiltered)) {
			return &rewrite.Refusal{Code: "0A000", Message: fmt.Sprintf("the current row of cursor %q may be one that is not open to be written", step.Name), Hint: "name the row by its key"}
		}
	}
	return nil
}

// writesCurrent tells whether a step is an UPDATE or DELETE of a cursor's current
// row, to which no row filter can be added: the cursor must have passed them.
func writesCurrent(step rewrite.Step) bool {
	return step.Effect&rewrite.Fetches != 0 && step.Effect&rewrite.Writes != 0
}

// madeBefore tells whether the same text makes the name that a step uses.
func madeBefore(p *rewrite.Plan, use rewrite.Step) bool {
	for _, step := range p.Steps {
		if step == use {
			return false
		}
		if step.Name == use.Name && step.Effect&(rewrite.Prepares|rewrite.Declares) != 0 {
			return true
		}
	}
	return false
}

// nameSteps notes what a text's PREPARE and DECLARE name, and that it may
// change settings.
func (s *session) nameSteps(f *flight, p *rewrite.Plan) {
	f.plan = p
	s.settingsChange(p)
	s.alters(p) // it may have been prepared long ago
	if p == nil || !p.Has(rewrite.Prepares|rewrite.Declares|rewrite.Forgets|rewrite.Settings|rewrite.Resets|rewrite.Ends) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, step := range p.Steps {
		s.nameStep(f, p, i)
		if step.Effect&(rewrite.Settings|rewrite.Resets|rewrite.Ends) != 0 {
			s.ahead = nil
		}
		if says(step) {
			f.nameAt(i, &s.misspoke, "", nil)
		}
		s.saying = step.Setting == rewrite.UserSetting || step.Setting == rewrite.TokenSetting
		s.unsure = s.unsure || step.Effect&(rewrite.Settings|rewrite.Resets) != 0 && step.Setting != rewrite.PurposeSetting
		if step.Effect&(rewrite.Settings|rewrite.Resets) != 0 {
			s.doubt, s.unsettled = true, true
		}
		s.temporaries = s.temporaries || step.Effect&rewrite.Temporaries != 0
		if step.Effect&rewrite.Ends != 0 {
			s.block = false
			s.doubt = s.doubt || s.unsettled || s.oneShot
			s.unsure = s.unsure || s.unsettled || s.oneShot
		}
	}
}

// nameStep notes what one statement of a text does to names.
func (s *session) nameStep(f *flight, p *rewrite.Plan, i int) {
	made := &named{plan: p, bySQL: true, under: s.planned()}
	switch step := p.Steps[i]; {
	case step.Effect&rewrite.Prepares != 0:
		f.nameAt(i, &s.statements, step.Name, made)
	case step.Effect&rewrite.Declares != 0:
		made.tally = f.meter.of(i)
		f.nameAt(i, &s.portals, step.Name, made)
	case step.Effect&rewrite.Resets != 0:
		f.forgetAt(i, &s.keeper.server)
		f.forgetAt(i, &s.statements)
		f.forgetAt(i, &s.portals)
	case step.Effect&rewrite.Forgets != 0 && step.Name == "":
		f.forgetAt(i, &s.keeper.server)
		f.forgetAt(i, &s.statements)
	case step.Effect&rewrite.Forgets != 0:
		f.nameAt(i, &s.statements, step.Name, nil)
	}
}
