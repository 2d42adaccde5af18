package state

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// schemaVersion is what the fields of an event are named after.
const schemaVersion = "ISO/IEC TS 27560:2023"

// The types of event.
const (
	Given             = "given"
	Withdrawn         = "withdrawn"
	Restricted        = "restricted"
	Objected          = "objected"
	RestrictionLifted = "restriction lifted"
	ObjectionLifted   = "objection lifted"
)

// The kinds of row in the table of what was restricted or objected to.
const (
	restriction = "restriction"
	objection   = "objection"
)

// Event is something that a data subject said, and who wrote it down. Moments
// are in UTC, as RFC 3339 with microseconds.
type Event struct {
	Seq              int64
	Record           string // the consent, restriction or objection that it is about
	Kind, Key        string // the subject
	Time             string
	Type             string
	State            string // of the record, after it
	Consent          string
	Purposes         []string // none: all of them
	Basis            string
	Notice           string // the wording, and its version
	Language         string
	Method           string // by which it was collected
	Jurisdiction     string
	Until            string // "": it does not lapse
	By               string // who wrote it down
	WithdrawalMethod string
	Reason           string
	Previous, Digest []byte
}

// canonical is what an event's digest is over, after the digest before: every
// field with its length.
func (e Event) canonical() string {
	var b strings.Builder
	field := func(s string) { fmt.Fprintf(&b, "%d:%s,", len(s), s) }
	field(strconv.FormatInt(e.Seq, 10))
	for _, s := range []string{e.Record, schemaVersion, e.Kind, e.Key, e.Time, e.Type, e.State, e.Consent} {
		field(s)
	}
	field(strconv.Itoa(len(e.Purposes)))
	for _, p := range e.Purposes {
		field(p)
	}
	for _, s := range []string{e.Basis, e.Notice, e.Language, e.Method, e.Jurisdiction, e.Until, e.By, e.WithdrawalMethod, e.Reason} {
		field(s)
	}
	return b.String()
}

// digest gives what the event's digest must be.
func (e Event) digest() []byte {
	h := sha256.New()
	h.Write(e.Previous)
	h.Write([]byte(e.canonical()))
	return h.Sum(nil)
}

// Apply puts an event in force and adds it to the chain, in the transaction that
// it is given. changed is false when that was in force already: it is written
// down all the same. Events come one after the other, whoever writes them.
func (l Ledger) Apply(ctx context.Context, tx pgx.Tx, e Event) (done Event, changed bool, err error) {
	// Rows are only added, so this keeps out who adds, and nobody who reads.
	if _, err := tx.Exec(ctx, "LOCK TABLE pgveil.consent_events IN SHARE ROW EXCLUSIVE MODE"); err != nil {
		return e, false, err
	}
	if err := stamp(ctx, tx, &e); err != nil {
		return e, false, err
	}
	was, err := l.InForce(ctx, tx, e)
	if err != nil {
		return e, false, err
	}
	if e.Record = was; was == "" {
		e.Record = newUUID()
	}
	set := e.Sets()
	if set {
		err = l.set(ctx, tx, e)
	} else {
		err = l.unset(ctx, tx, e)
	}
	if err != nil {
		return e, false, err
	}
	e.State = e.Type
	e.Digest = e.digest()
	return e, set == (was == ""), insert(ctx, tx, e)
}

// Sets tells whether an event puts something in force, rather than ends it.
func (e Event) Sets() bool { return e.Type == Given || e.Type == Restricted || e.Type == Objected }

// stamp gives an event its time and its place in the chain.
func stamp(ctx context.Context, tx pgx.Tx, e *Event) error {
	if err := tx.QueryRow(ctx, "SELECT "+spelled("clock_timestamp()")).Scan(&e.Time); err != nil {
		return err
	}
	err := tx.QueryRow(ctx, "SELECT seq, digest FROM pgveil.consent_events ORDER BY seq DESC LIMIT 1").Scan(&e.Seq, &e.Previous)
	if errors.Is(err, pgx.ErrNoRows) {
		e.Previous, err = make([]byte, sha256.Size), nil
	}
	e.Seq++
	return err
}

// spelled spells a moment; it is "" for none and for one that never comes.
func spelled(expr string) string {
	return fmt.Sprintf(`coalesce(to_char((%s) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), '')`, expr)
}

// Moment reads a moment, and tells whether it is ahead.
func Moment(ctx context.Context, tx pgx.Tx, text string) (moment string, ahead bool, err error) {
	const at = "$1::text::timestamptz"
	err = tx.QueryRow(ctx, "SELECT "+spelled(at)+", "+at+" > clock_timestamp()", text).Scan(&moment, &ahead)
	return moment, ahead, err
}

// row says where an event is in force: the table, and the columns that identify
// the row, after the subject's.
func (l Ledger) row(e Event) (table, others string, values []any) {
	kind := restriction
	switch e.Type {
	case Given, Withdrawn:
		return l.Consents.Sanitize(), "consent = $2", []any{e.Key, e.Consent}
	case Objected, ObjectionLifted:
		kind = objection
	}
	return l.Restrictions.Sanitize(), "purpose = $2 AND kind = $3", []any{e.Key, e.purpose(), kind}
}

// purpose is the one that a restriction or an objection is for; "" for all.
func (e Event) purpose() string { return strings.Join(e.Purposes, "") }

// is compares a column with a key.
func (l Ledger) is(column, param string) string {
	return fmt.Sprintf("%s OPERATOR(%s.=) %s", column, ident(l.Operators), l.key(param))
}

func (l Ledger) key(param string) string {
	return fmt.Sprintf("CAST(%s::text AS %s)", param, l.Type.Sanitize())
}

// InForce gives the record that is in force where an event belongs; "" for none.
func (l Ledger) InForce(ctx context.Context, tx pgx.Tx, e Event) (id string, err error) {
	table, others, values := l.row(e)
	err = tx.QueryRow(ctx, "SELECT record::text FROM "+table+" WHERE "+l.is("subject", "$1")+" AND "+others, values...).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return id, err
}

func (l Ledger) set(ctx context.Context, tx pgx.Tx, e Event) error {
	table, _, values := l.row(e)
	if e.Type == Given {
		_, err := tx.Exec(ctx, "INSERT INTO "+table+" (subject, consent, until, given, record) VALUES ("+l.key("$1")+`, $2,
			coalesce(nullif($3::text, '')::timestamptz, 'infinity'), $4::text::timestamptz, $5::text::uuid)
			ON CONFLICT (consent, subject) DO UPDATE SET until = excluded.until`, append(values, e.Until, e.Time, e.Record)...)
		return err
	}
	_, err := tx.Exec(ctx, "INSERT INTO "+table+" (subject, purpose, kind, since, record) VALUES ("+l.key("$1")+`, $2, $3,
		$4::text::timestamptz, $5::text::uuid) ON CONFLICT (subject, purpose, kind) DO NOTHING`, append(values, e.Time, e.Record)...)
	return err
}

func (l Ledger) unset(ctx context.Context, tx pgx.Tx, e Event) error {
	table, others, values := l.row(e)
	_, err := tx.Exec(ctx, "DELETE FROM "+table+" WHERE "+l.is("subject", "$1")+" AND "+others, values...)
	return err
}

func insert(ctx context.Context, tx pgx.Tx, e Event) error {
	purposes := e.Purposes
	if purposes == nil {
		purposes = []string{}
	}
	_, err := tx.Exec(ctx, `INSERT INTO pgveil.consent_events (seq, record_id, schema_version, subject_kind, subject_key, event_time,
			event_type, event_state, consent, purposes, lawful_basis, privacy_notice, language, collection_method, jurisdiction,
			valid_until, entity_id, withdrawal_method, reason, previous, digest)
		VALUES ($1, $2::text::uuid, $3, $4, $5, $6::text::timestamptz, $7, $8, nullif($9, ''), $10, nullif($11, ''), nullif($12, ''),
			nullif($13, ''), nullif($14, ''), nullif($15, ''), nullif($16::text, '')::timestamptz, $17, nullif($18, ''), nullif($19, ''), $20, $21)`,
		e.Seq, e.Record, schemaVersion, e.Kind, e.Key, e.Time, e.Type, e.State, e.Consent, purposes, e.Basis, e.Notice,
		e.Language, e.Method, e.Jurisdiction, e.Until, e.By, e.WithdrawalMethod, e.Reason, e.Previous, e.Digest)
	return err
}

// newUUID makes a random one (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
