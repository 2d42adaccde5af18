package proxy

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pgveil/pgveil/audit"
	"github.com/pgveil/pgveil/rewrite"
)

// admit writes the statement's record, without which it is not sent. One that
// changes governed data waits until the record is durable.
func (s *session) admit(ctx context.Context, f *flight, p *rewrite.Plan) error {
	durably := s.srv.durable && p.Has(rewrite.Writes)
	if durably && s.hurriedC {
		return errWaits
	}
	if err := s.refuseRestored(f, p); err != nil {
		return err
	}
	if len(p.Signs) > 0 {
		if err := s.stopInjected(f.by, p); err != nil {
			return err
		}
	}
	if f.privacy == nil {
		if err := s.curbed(ctx, f.by.access, p.Text); err != nil {
			return err
		}
	}
	if err := s.limit(ctx, f, p); err != nil {
		return err
	}
	s.inspect(f, p)
	if err := s.opens(f, p); err != nil {
		return err
	}
	if f.kind == flightQuery {
		if err := s.scanText(f.by, p, f.lits); err != nil {
			return err
		}
	}
	f.plan, f.naming = p, s.newNaming(p)
	if err := s.canPicture(f); err != nil {
		return err
	}
	r := s.record(audit.KindStatement, f.by, p)
	if err := s.seal(&r, f.contents); err != nil {
		return err
	}
	seq, err := s.srv.audit.Append(&r)
	if err != nil {
		return err
	}
	f.seq, f.logged = seq, true
	f.durable = s.srv.durable && p.Has(rewrite.Reads|rewrite.Writes|rewrite.Executes|rewrite.Fetches)
	s.srv.metrics.decided(p)
	if durably {
		return s.srv.audit.Sync(ctx, seq)
	}
	return nil
}

// recordRefusal writes the record of a refused statement.
func (s *session) recordRefusal(f *flight) error {
	r := s.record(audit.KindStatement, f.by, f.refusal.Plan)
	r.ID, r.Decision = f.refusal.ID, string(rewrite.Refused)
	r.SQLState, r.Message = f.refusal.Code, f.refusal.Message
	r.Statement = "" // the decision is not the plan's
	if f.refusal.Rule != "" {
		r.Reasons = append(slices.Clip(r.Reasons), f.refusal.Rule)
	}
	s.srv.metrics.refused(f.refusal)
	seq, err := s.srv.audit.Append(&r)
	f.seq = seq
	f.logged, f.durable = err == nil, s.srv.durable
	s.watchRefused(f)
	return err
}

// record is the only place where a plan becomes an audit record. p is nil where
// nothing was planned.
func (s *session) record(kind audit.Kind, by party, p *rewrite.Plan) audit.Record {
	if by.access == nil {
		by = s.party()
	}
	a := by.access // the plan's may be another caller's, for whom all is decided alike
	r := audit.Record{
		Kind: kind, Session: s.id, Login: s.login, User: a.User, Roles: a.Roles, Purpose: a.Purpose, Ticket: by.ticket,
		Client: s.addr, App: s.app, Database: s.database, Generation: s.engine.Policy.Generation(),
	}
	if s.caller.party != by || s.caller.engine != s.engine {
		s.caller = caller{by, s.engine, r.EncodeCaller()}
	}
	r.Caller = s.caller.encoded
	if p == nil {
		return r
	}
	if len(p.Steps) > 0 {
		r.Command = p.Steps[0].Command
	}
	r.Shape, r.Fingerprint, r.Decision, r.Reasons = p.Shape, p.Fingerprint, string(p.Decision), p.Reasons
	if p.Has(rewrite.Executes | rewrite.Fetches) {
		r.Columns, r.Kinds = s.columnsMade(p), kindsOf(s.stepsMade(p))
		return r
	}
	said := recordedOf(p, r)
	r.Columns, r.Kinds, r.Statement = said.columns, said.kinds, said.encoded
	return r
}

// caller is what a session's records say of who asks, encoded once.
type caller struct {
	party   party
	engine  *rewrite.Engine
	encoded audit.Encoded
}

// recorded is what every record of a plan says of it, made once.
type recorded struct {
	columns []audit.Column
	tables  []string // of those
	kinds   []string
	encoded audit.Encoded
}

// recordedOf gives what records of a plan say of it. r is such a record without
// its columns.
func recordedOf(p *rewrite.Plan, r audit.Record) *recorded {
	if said, ok := p.Memo.Load().(*recorded); ok {
		return said
	}
	r.Columns, r.Kinds = auditColumns(p), kindsOf(p.Subjects)
	said := &recorded{r.Columns, tablesIn(p.Columns), r.Kinds, r.EncodeStatement()}
	p.Memo.Store(said)
	return said
}

// tablesIn gives the tables that columns are of.
func tablesIn(columns []rewrite.ColumnUse) (tables []string) {
	for _, c := range columns {
		if table := c.Name[:strings.LastIndexByte(c.Name, '.')]; !slices.Contains(tables, table) {
			tables = append(tables, table)
		}
	}
	return tables
}

// kindsOf gives the kinds of subject that statements reach.
func kindsOf(steps []*rewrite.Naming) (kinds []string) {
	for _, step := range steps {
		if step == nil {
			continue
		}
		for _, r := range step.Reached {
			if !slices.Contains(kinds, r.Kind) {
				kinds = append(kinds, r.Kind)
			}
		}
	}
	return kinds
}

func auditColumns(p *rewrite.Plan) []audit.Column {
	cols := make([]audit.Column, len(p.Columns))
	for i, c := range p.Columns {
		cols[i] = audit.Column{Name: c.Name, Class: c.Class, Show: c.Show, Use: "read"}
		if c.Write {
			cols[i].Use = "write"
		}
	}
	return cols
}

// columnsMade gives the columns of what EXECUTE and FETCH use: those of the
// statements that were made with the names.
func (s *session) columnsMade(p *rewrite.Plan) []audit.Column {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []audit.Column
	for _, step := range p.Steps {
		for _, n := range []*names{&s.statements, &s.portals} {
			if made := n.get([]byte(step.Name)); made != nil {
				all = append(all, auditColumns(made.plan)...)
			}
		}
	}
	return all
}

// recordOutcome writes how a statement ended, before the client learns it.
func (s *session) recordOutcome(f *flight) error {
	s.tellLeaks(f)
	if !f.logged {
		return nil
	}
	r := audit.Record{
		Kind: audit.KindOutcome, Ref: f.seq, Session: s.id, Login: s.login, Caller: s.answered,
		Rows: f.rows, Bytes: f.bytes, Tag: f.tag, SQLState: f.state,
		Duration: s.srv.now().Sub(f.start),
	}
	if f.refusal != nil {
		return nil // the refusal's record says it all
	}
	if err := s.recordImages(f, true); err != nil {
		return err
	}
	if s.answered == "" {
		s.answered = r.EncodeCaller()
		r.Caller = s.answered
	}
	if f.stopped != nil {
		r.ID, r.Message, r.Reasons = f.stopped.ID, f.stopped.Message, []string{f.stopped.Rule}
	}
	if f.naming != nil {
		r.Subjects, r.Unnamed = f.naming.named, f.naming.unnamed
	}
	s.srv.metrics.statementSeconds.Observe(r.Duration.Seconds())
	s.watchOutcome(f, f.start.Add(r.Duration))
	_, err := s.srv.audit.Append(&r)
	return err
}

// recordPassedOver writes that statements which were sent did not run, because
// one before them failed.
func (s *session) recordPassedOver(records []uint64) error {
	for _, seq := range records {
		r := audit.Record{Kind: audit.KindOutcome, Ref: seq, Session: s.id, Login: s.login, Message: "not run: a statement before it failed"}
		if _, err := s.srv.audit.Append(&r); err != nil {
			return err
		}
	}
	return nil
}

// recordSession writes that a session began, ended or was refused.
func (s *Server) recordSession(r audit.Record) error {
	r.Kind = audit.KindSession
	_, err := s.audit.Append(&r)
	return err
}

// gate waits until the records of everything that the answers about to leave
// are about are durable.
func (s *session) gate(ctx context.Context) error {
	if s.audited == 0 {
		return nil
	}
	seq := s.audited - 1
	if s.gated.IsZero() {
		s.gated = time.Now()
	}
	if s.hurriedS && !s.srv.audit.Durable(seq) {
		return errWaits
	}
	err := s.srv.audit.Sync(ctx, seq)
	s.srv.metrics.auditSeconds.Observe(time.Since(s.gated).Seconds())
	s.audited, s.gated = 0, time.Time{}
	return err
}
