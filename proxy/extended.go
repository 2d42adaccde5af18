package proxy

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/pgveil/pgveil/proxy/wire"
	"github.com/pgveil/pgveil/rewrite"
)

// noParams is the end of a Parse message that names no parameter types.
var noParams = []byte{0, 0}

func (s *session) parse(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	name, text := b.String(), b.String()
	if b.Err() != nil {
		return newFatal("08P01", "malformed Parse message")
	}
	f := s.take(flightParse)
	f.unnamed = len(name) == 0
	made, err := s.makeTyped(ctx, text, b.Rest())
	f.by = made.by
	if err == nil && s.ours(name) {
		err = refuseOurs(name)
	}
	if err == nil {
		err = s.scanText(made.by, made.plan, made.lits)
	}
	if err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('P', wire.CString(string(name)), r.poison(), []byte{0, 0}) })
	}
	st := &named{plan: made.plan, value: made.value, privacy: made.privacy, said: made.said, asked: s.keepText(&made, text), desc: newDescription(made.plan), contents: s.contentsOf(text, 0), once: made.once, under: made.under}
	if params := b.Rest(); !bytes.Equal(params, noParams) {
		st.params = bytes.Clone(params)
	}
	if f.unnamed {
		st.kept, f.standIn = s.keep(&made, b.Rest())
	}
	f.name(&s.statements, string(name), st)
	if st.kept != "" && !f.standIn {
		f.name(&s.keeper.server, st.kept, st)
	}
	standIn := f.standIn
	if err := s.push(f); err != nil {
		return err
	}
	switch {
	case standIn:
		s.toS.Frame('C', []byte{'S'}, nothing)
	case st.kept != "":
		s.toS.Frame('P', wire.CString(st.kept), made.text(), []byte{0}, b.Rest())
	case made.rewritten() || sealsParams(made.plan):
		s.toS.Frame('P', name, []byte{0}, made.text(), []byte{0}, sealTypes(made.plan, b.Rest()))
	default:
		s.toS.Pass(frame)
	}
	return nil
}

// makeTyped is make for a text with parameters of the types that the end of a
// Parse message names.
func (s *session) makeTyped(ctx context.Context, text, types []byte) (named, error) {
	if len(types) <= len(noParams) {
		return s.make(ctx, text)
	}
	oids := make([]uint32, 0, (len(types)-len(noParams))/4)
	for rest := types[len(noParams):]; len(rest) >= 4; rest = rest[4:] {
		oids = append(oids, binary.BigEndian.Uint32(rest))
	}
	s.plans.Parameters = rewrite.DeclaredParameters(oids)
	s.lookup.Declare(s.plans.Parameters)
	made, err := s.make(ctx, text)
	s.plans.Parameters = 0
	s.lookup.Declare(0)
	return made, err
}

// keepText gives the text of a statement that may have to be planned again.
func (s *session) keepText(made *named, text []byte) string {
	switch {
	case free(made.plan.Access) && !s.engine.Seals():
		return ""
	case made.plan.Text == view(text):
		return made.plan.Text // held by the plan cache already
	default:
		return string(text)
	}
}

// current gives the prepared statement of that name, as it must be for who is
// asking now: one that was planned for another access, or by a policy that is
// no longer in force, is planned and prepared again.
func (s *session) current(ctx context.Context, name []byte) (*named, error) {
	st, err := s.meaning(&s.statements, name)
	if err != nil {
		return nil, err
	}
	if st == nil {
		if err := s.settle(ctx, ""); err != nil {
			return nil, err
		}
		if free(s.plans.Access) {
			return nil, nil // the server knows what to say
		}
		return nil, &rewrite.Refusal{Code: "26000", Message: fmt.Sprintf("prepared statement %q does not exist", name)}
	}
	if err := s.settle(ctx, st.asked); err != nil {
		return nil, err
	}
	who := s.partyOf(st).access
	switch {
	case free(who) && !s.engine.Seals():
		return st, nil
	case st.plan.Access.ID != who.ID:
	case free(who) && st.under != s.planned():
		if same, err := s.plansAlike(ctx, st); same || err != nil {
			return st, err
		}
	default:
		return st, nil
	}
	if st.bySQL || st.asked == "" { // its text is not at hand
		return nil, &rewrite.Refusal{Code: "42501", Message: fmt.Sprintf("prepared statement %q was made for another role or purpose, or under another policy", name), Hint: "prepare it again"}
	}
	return s.prepareAgain(ctx, name, st)
}

func (s *session) prepareAgain(ctx context.Context, name []byte, st *named) (*named, error) {
	again, err := s.makeTyped(ctx, []byte(st.asked), st.params)
	if err != nil {
		return nil, err
	}
	fresh := &named{plan: again.plan, value: again.value, privacy: again.privacy, said: again.said, asked: st.asked, params: st.params, desc: newDescription(again.plan), contents: st.contents, once: again.once, under: again.under}
	params := st.params
	if params == nil {
		params = noParams
	}
	closing, parsing := s.take(flightClose), s.take(flightParse)
	closing.own, parsing.own = true, true
	parsing.name(&s.statements, string(name), fresh)
	if err := s.push(closing, parsing); err != nil {
		return nil, err
	}
	s.toS.Frame('C', []byte{'S'}, name, []byte{0})
	s.toS.Frame('P', name, []byte{0}, again.text(), []byte{0}, sealTypes(again.plan, params))
	return fresh, nil
}

func (s *session) describe(frame []byte) error {
	b := wire.BodyOf(frame)
	kind, name := b.Byte(), b.String()
	if b.Err() != nil || kind != 'S' && kind != 'P' {
		return newFatal("08P01", "malformed Describe message")
	}
	f := s.take(flightDescribe)
	f.naming, f.desc = s.namingOfNamed(kind, name), s.descOfNamed(kind, name)
	err := s.known(kind, name)
	if err == nil {
		err = s.describesSealed(f, kind, name)
	}
	if err != nil {
		f.naming, f.desc, f.opening, f.sealed = nil, nil, nil, nil
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('D', []byte{kind}, r.poisonName()) })
	}
	kept := ""
	if kind == 'S' {
		kept = s.keptName(name)
	}
	if err := s.push(f); err != nil {
		return err
	}
	if kept != "" {
		s.toS.Frame('D', []byte{'S'}, wire.CString(kept))
		return nil
	}
	s.toS.Pass(frame)
	return nil
}

// known refuses names that a caller with restrictions has not defined through
// the proxy: whatever they are, nobody planned them.
func (s *session) known(kind byte, name []byte) error {
	if free(s.plans.Access) {
		return nil
	}
	what, code, names := "prepared statement", "26000", &s.statements
	if kind == 'P' {
		what, code, names = "portal", "34000", &s.portals
	}
	made, err := s.meaning(names, name)
	if err == nil && made == nil {
		err = &rewrite.Refusal{Code: code, Message: fmt.Sprintf("%s %q does not exist", what, name)}
	}
	return err
}

func (s *session) execute(ctx context.Context, frame []byte) error {
	b := wire.BodyOf(frame)
	name := b.String()
	b.Int32()
	if b.Err() != nil {
		return newFatal("08P01", "malformed Execute message")
	}
	f := s.take(flightExecute)
	p, err := s.openPortal(ctx, name)
	f.by = s.party()
	if err == nil && p != nil {
		if p.said != nil {
			f.by = s.partyOf(p)
		}
		p.logged = p.logged && p.by.is(f.by) // what another goes on with is recorded anew
		p.by = f.by
		err = s.checkNames(p.plan, p.by)
	}
	if err == nil && p != nil {
		err = s.checkExecuted(ctx, p.plan, p.by)
	}
	if err == nil && p != nil {
		err = s.checkAsker(p)
	}
	if err == nil && p != nil {
		f.privacy, err = s.request(ctx, p)
		f.seq, f.logged, f.again, f.portal = p.seq, p.logged, p.logged, p
		if err == nil && p.logged && s.hiding(p.plan).Silent { // the server would give no rows
			err = &rewrite.Refusal{Code: "55000", Message: fmt.Sprintf("portal %q cannot be run", name)}
		}
		f.contents = p.contents
		switch {
		case err != nil:
		case p.logged:
			err = s.limit(ctx, f, p.plan)
			s.inspect(f, p.plan)
			if err == nil {
				err = s.opens(f, p.plan)
			}
		default:
			err = s.admit(ctx, f, p.plan)
		}
		f.plan = p.plan
	}
	if err == nil && p == nil {
		err = s.admit(ctx, f, s.unread("(what the server has under a name that was not given through pgveil)"))
	}
	if err != nil {
		return s.refuse(f, err, func(r *Refusal) { s.toS.Frame('E', r.poisonName(), []byte{0, 0, 0, 0}) })
	}
	if p != nil {
		p.seq, p.logged = f.seq, f.logged
		s.nameSteps(f, p.plan)
		s.expectData(f.by, p.plan)
		if f.again {
			f.naming = s.newNaming(p.plan)
		}
		f.naming.boundAs(p)
	}
	if err := s.push(f); err != nil {
		s.giveBack(f) // and end the request that it carries
		return err
	}
	if p != nil {
		if s.hiding(p.plan).Silent {
			s.toS.Frame('E', name, []byte{0, 0, 0, 0, 0}) // a limit is on rows that the client gets
			return nil
		}
	}
	s.toS.Pass(frame)
	return nil
}

// openPortal finds the portal to execute. One that was bound for another role
// or purpose stays closed.
func (s *session) openPortal(ctx context.Context, name []byte) (*named, error) {
	p, err := s.meaning(&s.portals, name)
	if err != nil {
		return nil, err
	}
	asked := ""
	if p != nil {
		asked = p.asked
	}
	if err := s.settle(ctx, asked); err != nil {
		return nil, err
	}
	if p == nil && free(s.plans.Access) {
		return nil, nil
	}
	if p == nil {
		return nil, &rewrite.Refusal{Code: "34000", Message: fmt.Sprintf("portal %q does not exist", name)}
	}
	if who := s.partyOf(p).access; !free(who) && p.plan.Access.ID != who.ID {
		return nil, refuseOtherAccess("portal", name)
	}
	return p, nil
}

func (s *session) close(frame []byte) error {
	b := wire.BodyOf(frame)
	kind, name := b.Byte(), b.String()
	if b.Err() != nil || kind != 'S' && kind != 'P' {
		return newFatal("08P01", "malformed Close message")
	}
	f := s.take(flightClose)
	if kind == 'S' && s.ours(name) {
		if err := s.push(f); err != nil {
			return err
		}
		s.toS.Frame('C', []byte{'S'}, nothing)
		return nil
	}
	if kind == 'S' {
		f.name(&s.statements, string(name), nil)
	} else {
		f.name(&s.portals, string(name), nil)
	}
	if err := s.push(f); err != nil {
		return err
	}
	s.toS.Pass(frame)
	return nil
}

var syncFrame = []byte{'S', 0, 0, 0, 4}

func (s *session) sync(frame []byte) error {
	if passed, err := s.takesData(); passed || err != nil {
		return err
	}
	s.mu.Lock()
	s.skipping = false
	s.mu.Unlock()
	s.ahead = nil // the server may have passed over the question
	if err := s.push(s.take(flightSync)); err != nil {
		return err
	}
	s.toS.Pass(frame)
	s.askAhead()
	return nil
}

// takesData tells whether the server takes in data when the next message gets to
// it, and passes over Sync. A COPY that was asked for may still fail before that,
// or after any of the data: a Sync sent meanwhile would be answered or not, and
// nobody could tell which. So it is known before, and then no Sync is sent.
func (s *session) takesData() (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copying || s.queue.copies == nil {
		return s.copying, nil
	}
	if s.hurriedC {
		return false, errWaits
	}
	s.mu.Unlock()
	s.toS.Frame('H')
	err := s.toS.Flush()
	s.mu.Lock()
	for err == nil && s.ended == nil && !s.copying && s.queue.copies != nil {
		s.settled.Wait()
	}
	return s.copying, errors.Join(err, s.ended)
}
