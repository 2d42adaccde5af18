package dsar

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Ledgers gives where what the subjects of each kind said is kept, of the kinds
// that have a ledger.
func Ledgers(set *policy.Set) []state.Ledger {
	var all []state.Ledger
	for _, s := range set.Subjects() {
		if s.Ledger != nil {
			all = append(all, ledger(set, s))
		}
	}
	return all
}

func ledger(set *policy.Set, s policy.Subject) state.Ledger {
	key, _ := s.Relation.Column(s.Key)
	l := state.Ledger{
		Kind: s.Name, Table: pgx.Identifier{s.Relation.Schema, s.Relation.Name}, Key: s.Key,
		Type: pgx.Identifier{key.Type.Schema, key.Type.Name}, Operators: operatorSchema(key.Type),
		Consents:     pgx.Identifier{s.Ledger.Consents.Schema, s.Ledger.Consents.Name},
		Restrictions: pgx.Identifier{s.Ledger.Restrictions.Schema, s.Ledger.Restrictions.Name},
	}
	for _, r := range set.Reaching(s.Name) {
		l.Filtered = append(l.Filtered, pgx.Identifier{r.Schema, r.Name})
	}
	return l
}

// book is the ledger of one kind of subject.
type book struct {
	state.Ledger
	subject policy.Subject
	set     *policy.Set
	values  Values
}

func (s *Service) book(set *policy.Set, kind string) (book, error) {
	of, err := subjectNamed(set.Subjects(), kind)
	if err != nil {
		return book{}, err
	}
	if of.Ledger == nil {
		return book{}, privacy.Fail(privacy.NotAvailable, `say "ledger: true" of it in the policy`, "pgveil keeps no ledger for subject %q", kind)
	}
	return book{ledger(set, of), of, set, s.Values}, nil
}

// changeTime bounds how long a change may take, once it has begun: whether the
// caller still waits for it makes no difference.
const changeTime = 30 * time.Second

// Change runs a command that writes into a ledger, for who. witness is told the
// digest of the event before it counts, and can keep it from counting. The
// answer is one row.
func (s *Service) Change(ctx context.Context, cmd privacy.Command, who string, witness func(ctx context.Context, digest string) error) ([]string, error) {
	set, _ := s.Current()
	b, err := s.book(set, cmd.Subject)
	if err != nil {
		return nil, err
	}
	e, unknown, err := eventOf(set, cmd)
	if err != nil {
		return nil, err
	}
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), changeTime)
	defer done()
	changed := false
	e.Kind, e.By = b.Kind, who
	err = s.transact(ctx, pgx.ReadWrite, func(tx pgx.Tx) error {
		if e.Key, err = b.find(ctx, tx, cmd.Key); err != nil {
			return err
		}
		if e.Until, err = until(ctx, tx, cmd.Consent.Until); err != nil {
			return err
		}
		if unknown != nil {
			// What the policy names no more can still be ended where it is in force.
			if was, err := b.InForce(ctx, tx, e); err != nil || was == "" || e.Sets() {
				return errors.Join(err, unknown)
			}
		}
		if e, changed, err = b.Apply(ctx, tx, e); err != nil {
			return err
		}
		return witness(ctx, hex.EncodeToString(e.Digest))
	})
	if err != nil {
		return nil, state.Explain("writing into the ledger", err)
	}
	return []string{strconv.FormatInt(e.Seq, 10), e.Type, of(e), note(e, changed), e.Record, hex.EncodeToString(e.Digest)}, nil
}

// of names what an event is about.
func of(e state.Event) string {
	switch {
	case e.Consent != "":
		return e.Consent
	case e.Purposes == nil:
		return "every purpose"
	default:
		return strings.Join(e.Purposes, ", ")
	}
}

func note(e state.Event, changed bool) string {
	switch {
	case changed:
		return ""
	case e.Sets():
		return "it was in force already"
	default:
		return "it was not in force"
	}
}

// transact runs f in a transaction on a connection of its own.
func (s *Service) transact(ctx context.Context, mode pgx.TxAccessMode, f func(pgx.Tx) error) error {
	return s.connected(ctx, func(conn *pgx.Conn) error {
		options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: mode}
		return withoutValues(pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, settings+";SET LOCAL DateStyle = 'ISO, YMD'"); err != nil {
				return err
			}
			return f(tx)
		}))
	})
}

// find gives the key of the subject that is meant, as text.
func (b book) find(ctx context.Context, tx pgx.Tx, key privacy.Key) (string, error) {
	s := b.subject
	known := append([]string{s.Key}, s.FindBy...)
	name := key.Column
	if name == "" {
		name = s.Key
	}
	switch {
	case !slices.Contains(known, name):
		return "", privacy.Fail(privacy.NoColumn, privacy.DidYouMean(name, known), "a %s cannot be looked up by that column", s.Name)
	case len(key.Values) != 1:
		return "", privacy.Fail(privacy.Syntax, "", "the key of a %s is one value, of %s", s.Name, s.Key)
	}
	column, _ := s.Relation.Column(name)
	where, args, err := b.values.match(b.set, s.Relation, name, "k", key.Values[0], 1)
	if err != nil {
		return "", err
	}
	rows, err := tx.Query(ctx, fmt.Sprintf("SELECT DISTINCT k.%s::text FROM %s AS k WHERE %s AND k.%[1]s IS NOT NULL LIMIT 2", quote(s.Key), b.Table.Sanitize(), where), args...)
	if err != nil {
		return "", err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && aboutData(refused):
		return "", privacy.Fail(privacy.BadKey, "write it in single quotes if it is not a number", "the value does not fit %s, which is %s", name, column.Type.SQL)
	case err != nil:
		return "", fmt.Errorf("finding the %s: %w", s.Name, err)
	case len(found) == 0:
		return "", privacy.Fail(privacy.NotFound, "", "no such %s", s.Name)
	case len(found) > 1:
		return "", privacy.Fail(privacy.Ambiguous, "ask for one by "+s.Key, "several of kind %q match", s.Name)
	}
	return found[0], nil
}

// until gives the moment at which a consent lapses; "" for never.
func until(ctx context.Context, tx pgx.Tx, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	moment, ahead, err := state.Moment(ctx, tx, text)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && aboutData(refused):
		return "", privacy.Fail(privacy.BadKey, "write it as '2027-01-01', or as '2027-01-01 12:00+01'", "UNTIL is not followed by a date or time")
	case err != nil:
		return "", err
	case !ahead:
		return "", privacy.Fail(privacy.BadKey, "a consent is withdrawn by WITHDRAW", "what UNTIL names is past")
	}
	return moment, nil
}

// eventOf gives what a command says as an event. unknown is why the policy does
// not know what it names, if it does not.
func eventOf(set *policy.Set, cmd privacy.Command) (e state.Event, unknown, err error) {
	grounds := set.Grounds()
	switch cmd.Verb {
	case privacy.VerbConsent:
		e, unknown = consentEvent(grounds, cmd)
		return e, unknown, nil
	case privacy.VerbRestrict:
		e.Type = state.Restricted
	case privacy.VerbObject:
		e.Type = state.Objected
	case privacy.VerbLiftRestriction:
		e.Type = state.RestrictionLifted
	case privacy.VerbLiftObjection:
		e.Type = state.ObjectionLifted
	default:
		return e, nil, privacy.Fail(privacy.Syntax, "ask PRIVACY HELP", "no command")
	}
	e.Reason = cmd.Because
	if cmd.Purpose == "" {
		return e, nil, nil
	}
	e.Purposes = []string{cmd.Purpose}
	i := slices.IndexFunc(grounds, func(g policy.Ground) bool { return g.Purpose == cmd.Purpose })
	if i < 0 {
		var known []string
		for _, g := range grounds {
			known = append(known, g.Purpose)
		}
		return e, privacy.Fail(privacy.NoSubject, privacy.DidYouMean(cmd.Purpose, known), "the policy has no such purpose"), nil
	}
	e.Basis = grounds[i].Basis
	return e, nil, possible(e, grounds[i])
}

func consentEvent(grounds []policy.Ground, cmd privacy.Command) (e state.Event, unknown error) {
	c := cmd.Consent
	e = state.Event{Type: state.Given, Consent: c.Name, Basis: "consent", Notice: c.Wording, Language: c.Language,
		Method: c.Method, Jurisdiction: c.Jurisdiction, Reason: cmd.Because}
	if c.Withdraw {
		e.Type, e.Method, e.WithdrawalMethod = state.Withdrawn, "", c.Method
	}
	var known []string
	for _, g := range grounds {
		if g.Consent == c.Name {
			e.Purposes = append(e.Purposes, g.Purpose)
		}
		if g.Consent != "" {
			known = append(known, g.Consent)
		}
	}
	switch {
	case e.Purposes != nil:
		return e, nil
	case known == nil:
		return e, privacy.Fail(privacy.NoSubject, "no purpose has basis consent", "the policy has no such consent")
	}
	return e, privacy.Fail(privacy.NoSubject, privacy.DidYouMean(c.Name, known), "the policy has no such consent")
}

// possible refuses what would have no effect, and says what has.
func possible(e state.Event, g policy.Ground) error {
	switch {
	case e.Type == state.Restricted && g.Despite:
		return privacy.Fail(privacy.NotAllowed, "it is despite_restriction in the policy", "purpose %q sees restricted data as well", g.Purpose)
	case e.Type != state.Objected || g.Objectionable:
		return nil
	case g.Consent != "":
		return privacy.Fail(privacy.NotAllowed, "withdraw the consent: PRIVACY CONSENT … WITHDRAW "+g.Consent, "purpose %q rests on consent: there is no objection to it", g.Purpose)
	default:
		return privacy.Fail(privacy.NotAllowed, "there is one to purposes with basis legitimate_interest or public_task, and to direct marketing; PRIVACY RESTRICT may be what fits",
			"purpose %q has basis %s: there is no objection to it", g.Purpose, g.Basis)
	}
}

// consents emits what is known of one subject, event by event. One that is gone
// from the database is still known by its key.
func (s *Service) consents(ctx context.Context, cmd privacy.Command, emit func([]string) error) error {
	set, _ := s.Current()
	b, err := s.book(set, cmd.Subject)
	if err != nil {
		return err
	}
	var events []state.Event
	err = s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		key, err := b.find(ctx, tx, cmd.Key)
		var said *privacy.Error
		if gone := errors.As(err, &said) && said.Code == privacy.NotFound; gone && cmd.Key.Column == "" {
			if events, err = b.Events(ctx, tx, cmd.Key.Values[0]); len(events) > 0 || err != nil {
				return err
			}
			return said
		}
		if err == nil {
			events, err = b.Events(ctx, tx, key)
		}
		return err
	})
	if err != nil {
		return state.Explain("reading the ledger", err)
	}
	for _, e := range events {
		whole := "yes"
		if !e.Whole() {
			whole = "NO: it was changed since"
		}
		method := e.Method + e.WithdrawalMethod // an event has one of them
		row := []string{strconv.FormatInt(e.Seq, 10), e.Time, e.Type, e.Consent, strings.Join(e.Purposes, ", "), e.Until, e.By, method,
			e.Notice, e.Language, e.Jurisdiction, e.Reason, e.Record, hex.EncodeToString(e.Digest), whole}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

// restrictions emits what is restricted or objected to: by one subject, by those
// of one kind, or by all.
func (s *Service) restrictions(ctx context.Context, cmd privacy.Command, emit func([]string) error) error {
	set, _ := s.Current()
	var kinds []string
	for _, l := range Ledgers(set) {
		kinds = append(kinds, l.Kind)
	}
	if cmd.Subject != "" {
		kinds = []string{cmd.Subject}
	}
	var answer [][]string
	err := s.transact(ctx, pgx.ReadOnly, func(tx pgx.Tx) error {
		for _, kind := range kinds {
			b, err := s.book(set, kind)
			if err != nil {
				return err
			}
			var keys []string
			if len(cmd.Key.Values) > 0 {
				key, err := b.find(ctx, tx, cmd.Key)
				if err != nil {
					return err
				}
				keys = []string{key}
			}
			found, err := b.Restraints(ctx, tx, keys...)
			if err != nil {
				return err
			}
			for _, r := range found {
				answer = append(answer, []string{kind, r.Key, r.Kind, r.Purpose, r.Since})
			}
		}
		return nil
	})
	if err != nil {
		return state.Explain("reading the ledger", err)
	}
	for _, row := range answer {
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}
