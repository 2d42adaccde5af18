package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Officer is who contains others.
type Officer struct {
	Access  *policy.Access
	From    netip.Addr
	Session string // "": it is none
}

// ContainmentColumns names the columns of the answer to a command that contains
// users; nil for every other command.
func ContainmentColumns(v privacy.Verb) []string {
	switch v {
	case privacy.VerbQuarantine, privacy.VerbRelease, privacy.VerbQuarantines:
		return []string{"number", "who", "name", "by", "since", "left", "reason", "state"}
	case privacy.VerbKill:
		return []string{"proxy", "ended"}
	case privacy.VerbSessions:
		return []string{"session", "proxy", "login", "user", "roles", "purpose", "address", "application", "since", "state", "command", "fingerprint", "rows"}
	default:
		return nil
	}
}

// RunContainment runs such a command for somebody who has the right to it, and
// gives the rows of its answer. What it does here it does also where the database
// cannot be written, and says so.
func (srv *Server) RunContainment(ctx context.Context, cmd privacy.Command, by Officer) ([][]string, error) {
	if !by.Access.Claim.Proven() {
		return nil, privacy.Fail(privacy.NotAllowed, "sign a token for the user", "to contain others needs a user who is known for certain")
	}
	switch cmd.Verb {
	case privacy.VerbQuarantine:
		return srv.runQuarantine(ctx, cmd, by)
	case privacy.VerbRelease:
		return srv.runRelease(ctx, cmd, by)
	case privacy.VerbQuarantines:
		return srv.listQuarantines(ctx)
	case privacy.VerbSessions:
		return srv.listSessions(ctx, by)
	case privacy.VerbKill:
		return srv.runKill(ctx, cmd, by)
	default:
		return nil, fmt.Errorf("internal error: verb %d contains nobody", cmd.Verb)
	}
}

// Barred refuses who is in quarantine, for those who ask by another way than a
// session.
func (srv *Server) Barred(by Officer) error {
	a := by.Access
	if q := srv.containment.now.Load().on(suspect{a.Login, a.User, by.From, a}, srv.now()); q != nil {
		return privacy.Fail(privacy.NotAllowed, "whoever may contain users can release it", "%s is in quarantine", q.whom())
	}
	return nil
}

// meant reads whom a command is about. Nobody puts themselves in quarantine, or
// out of it.
func (by Officer) meant(w privacy.Whom) (*hold, error) {
	q := &hold{who: w.Who, name: w.Name}
	own := false
	switch w.Who {
	case policy.TargetUser, policy.TargetLogin:
		own = w.Name == by.Access.Login || w.Who == policy.TargetUser && w.Name == by.Access.User
	case policy.TargetAddress:
		var ok bool
		if q.network, ok = canonical(w.Name); !ok {
			return nil, privacy.Fail(privacy.BadKey, "write it as '10.0.0.7' or '10.0.0.0/24'", "this is not an address or network")
		}
		q.name, own = nameOf(q.network), q.network.Contains(by.From)
	}
	if own {
		return nil, privacy.Fail(privacy.NotAllowed, "somebody else who may contain users can", "nobody puts themselves in quarantine, or out of it")
	}
	return q, nil
}

func (srv *Server) runQuarantine(ctx context.Context, cmd privacy.Command, by Officer) ([][]string, error) {
	q, err := by.meant(cmd.Whom)
	if err != nil {
		return nil, err
	}
	q.by, q.why, q.made, q.until = by.Access.User, cmd.Because, srv.now(), srv.until(cmd.For)
	srv.containment.add(q, q.made)
	srv.enforce(q)
	if err := srv.Contain(ctx); err != nil {
		srv.log.Error("a quarantine cannot be written down: it is in force at this proxy alone", "whom", q.whom(), "err", err)
	}
	row := srv.holdRow(q)
	if unknown := srv.unknown(q); unknown != "" {
		row[7] += "; " + unknown
	}
	return [][]string{row}, nil
}

// unknown tells where a quarantine may be of nobody: a slip, say.
func (srv *Server) unknown(q *hold) string {
	if q.who == policy.TargetAddress || srv.enforcer.Engine().Policy.Knows(q.name) {
		return ""
	}
	return "the policy does not list that " + q.who.String()
}

// holdRow is a row on a quarantine as it is known here.
func (srv *Server) holdRow(q *hold) []string {
	srv.containment.mu.Lock()
	defer srv.containment.mu.Unlock()
	number, is, left := "", "in force", ""
	switch {
	case q.id != 0:
		number = strconv.FormatInt(q.id, 10)
	case !q.lasts(srv.now()):
		is = "over"
	default:
		is = "in force at this proxy alone, until it can be written down"
	}
	if !q.until.IsZero() {
		left = q.until.Sub(srv.now()).Round(time.Second).String()
	}
	return []string{number, q.who.String(), q.name, q.by, q.made.UTC().Format(time.DateTime), left, q.why, is}
}

// runRelease ends the quarantines of one. What was decided here and is not written
// down yet is written before, so that all proxies agree on what is released.
func (srv *Server) runRelease(ctx context.Context, cmd privacy.Command, by Officer) ([][]string, error) {
	q, err := by.meant(cmd.Whom)
	if err != nil {
		return nil, err
	}
	if srv.quarantines == nil {
		return srv.releaseHere(q)
	}
	err = srv.Contain(ctx)
	if alone(err) {
		return srv.releaseHere(q)
	}
	var n int64
	if err == nil {
		n, err = srv.quarantines.Release(ctx, q.who, q.name, by.Access.User, cmd.Because)
	}
	if err != nil {
		srv.log.Error("a quarantine cannot be released", "whom", q.whom(), "err", err)
		return nil, privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW QUARANTINES says how it stands", "that cannot be written down, so the quarantine stays in force")
	}
	if n == 0 {
		return nil, notHeld()
	}
	if err := srv.Contain(ctx); err != nil {
		srv.log.Error("a quarantine was released and cannot be read again", "whom", q.whom(), "err", err)
		return nil, privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW QUARANTINES says how it stands", "it is written down, but it is not certain that it counts yet")
	}
	all, err := srv.listQuarantines(ctx)
	all = slices.DeleteFunc(all, func(row []string) bool {
		return row[1] != q.who.String() || row[2] != q.name || !strings.HasPrefix(row[7], "released")
	})
	return all[:min(n, int64(len(all)))], err
}

func notHeld() error {
	return privacy.Fail(privacy.NotFound, "PRIVACY SHOW QUARANTINES lists who is; a network is released as it was written", "nobody of that name is in quarantine")
}

// releaseHere releases where there are no other proxies to agree with.
func (srv *Server) releaseHere(q *hold) (rows [][]string, err error) {
	for _, released := range srv.containment.drop(q.who, q.name, srv.now()) {
		row := srv.holdRow(released)
		row[7] = "released"
		rows = append(rows, row)
		srv.tellHold(released, false)
	}
	if len(rows) == 0 {
		return nil, notHeld()
	}
	return rows, nil
}

// listQuarantines gives what is written down, and before it what is not yet.
func (srv *Server) listQuarantines(ctx context.Context) (rows [][]string, err error) {
	c := &srv.containment
	c.mu.Lock()
	local := slices.DeleteFunc(slices.Clone(c.unread), func(q *hold) bool { return q.written })
	c.mu.Unlock()
	for _, q := range local {
		rows = append(rows, srv.holdRow(q))
	}
	if srv.quarantines == nil {
		return rows, nil
	}
	all, err := srv.quarantines.Quarantines(ctx)
	if err != nil && !alone(err) {
		return nil, err
	}
	for _, q := range all {
		rows = append(rows, quarantineRow(q))
	}
	return rows, nil
}

func quarantineRow(q state.Quarantine) []string {
	is, left := q.State, ""
	switch {
	case is == "released":
		is += " by " + q.Released
		if q.Release != "" {
			is += ": " + q.Release
		}
	case is == "in force" && q.For > 0:
		left = q.Left.Round(time.Second).String()
	}
	return []string{strconv.FormatInt(q.ID, 10), q.Who.String(), q.Name, q.By, q.Made.UTC().Format(time.DateTime), left, q.Reason, is}
}

// listSessions gives the sessions of all proxies. One that does not answer is in
// the list as that.
func (srv *Server) listSessions(ctx context.Context, by Officer) ([][]string, error) {
	rows := sessionRows(srv.name, srv.list())
	answers, silent := srv.everywhere(ctx, state.Order{What: state.ListSessions, By: by.Access.User})
	for _, a := range answers {
		rows = append(rows, sessionRows(a.Proxy, a.Sessions)...)
	}
	for _, proxy := range silent {
		rows = append(rows, sessionRows(proxy, []state.Session{{State: noAnswer}})...)
	}
	return rows, nil
}

// alone tells whether the tables are missing by which proxies know of each other.
func alone(err error) bool {
	var said *privacy.Error
	return errors.As(err, &said) && said.Code == privacy.NotAvailable
}

// noAnswer stands where it is not known what there is.
const noAnswer = "did not answer"

func sessionRows(proxy string, all []state.Session) (rows [][]string) {
	for _, s := range all {
		since := ""
		if !s.Since.IsZero() {
			since = s.Since.UTC().Format(time.DateTime)
		}
		rows = append(rows, []string{
			s.ID, proxy, s.Login, s.User, strings.Join(s.Roles, ", "), s.Purpose, s.Address, s.Application, since, s.State,
			s.Command, s.Fingerprint, strconv.FormatInt(s.Rows, 10),
		})
	}
	return rows
}

// runKill ends sessions here at once, and then at the other proxies.
func (srv *Server) runKill(ctx context.Context, cmd privacy.Command, by Officer) ([][]string, error) {
	o := state.Order{What: state.KillSession, Name: cmd.Session, By: by.Access.User, Reason: cmd.Because}
	if cmd.Session == "" {
		o.What, o.Name = state.KillUser, cmd.Whom.Name
	}
	if o.Name == by.Session && by.Session != "" || o.What == state.KillUser && (o.Name == by.Access.User || o.Name == by.Access.Login) {
		return nil, privacy.Fail(privacy.NotAllowed, "disconnect", "this would end your own session")
	}
	here := srv.carryOut(o)
	rows := [][]string{{srv.name, strconv.Itoa(here.Ended)}}
	if o.What == state.KillSession && here.Ended > 0 {
		return rows, nil
	}
	answers, silent := srv.everywhere(ctx, o)
	ended := here.Ended
	for _, a := range answers {
		rows = append(rows, []string{a.Proxy, strconv.Itoa(a.Ended)})
		ended += a.Ended
	}
	for _, proxy := range silent {
		rows = append(rows, []string{proxy, noAnswer})
	}
	if ended == 0 && len(silent) == 0 {
		return nil, privacy.Fail(privacy.NotFound, "PRIVACY SHOW SESSIONS lists them", "there is no such session")
	}
	return rows, nil
}

// answerWithin is how long other proxies have to answer.
const answerWithin = 3 * time.Second

// othersUnknown stands for the other proxies where the database does not tell.
const othersUnknown = "(other proxies)"

// everywhere asks all other proxies. silent are those that are there and do not
// answer.
func (srv *Server) everywhere(ctx context.Context, o state.Order) (answers []state.Answer, silent []string) {
	if srv.quarantines == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	o.Proxy = srv.name
	var err error
	if o.ID, err = srv.quarantines.Order(ctx, o); alone(err) {
		return nil, nil
	} else if err != nil {
		srv.log.Error("the other proxies cannot be asked", "err", err)
		return nil, []string{othersUnknown}
	}
	for {
		said, quiet, err := srv.quarantines.Answers(ctx, o)
		switch {
		case err == nil:
			answers, silent = said, quiet
		case len(silent) == 0:
			silent = []string{othersUnknown} // it was not even known who they are
		}
		if err != nil || len(silent) == 0 || !pause(ctx, 50*time.Millisecond) {
			return answers, silent
		}
	}
}
