package state

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

func selectEvents(rest string) string {
	return `SELECT seq, record_id::text, subject_kind, subject_key, ` + spelled("event_time") + `, event_type, event_state,
		coalesce(consent, ''), purposes, coalesce(lawful_basis, ''), coalesce(privacy_notice, ''), coalesce(language, ''),
		coalesce(collection_method, ''), coalesce(jurisdiction, ''), ` + spelled("valid_until") + `, entity_id,
		coalesce(withdrawal_method, ''), coalesce(reason, ''), previous, digest
		FROM pgveil.consent_events ` + rest + ` ORDER BY seq`
}

func scanEvent(row pgx.CollectableRow) (e Event, err error) {
	err = row.Scan(&e.Seq, &e.Record, &e.Kind, &e.Key, &e.Time, &e.Type, &e.State, &e.Consent, &e.Purposes, &e.Basis, &e.Notice,
		&e.Language, &e.Method, &e.Jurisdiction, &e.Until, &e.By, &e.WithdrawalMethod, &e.Reason, &e.Previous, &e.Digest)
	return e, err
}

// Whole tells whether an event is as it was when it was written.
func (e Event) Whole() bool { return bytes.Equal(e.Digest, e.digest()) }

// Events gives what is known of a subject, the oldest first.
func (l Ledger) Events(ctx context.Context, tx pgx.Tx, key string) ([]Event, error) {
	rows, err := tx.Query(ctx, selectEvents("WHERE subject_kind = $1 AND subject_key = $2"), l.Kind, key)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEvent)
}

// Restraint is a restriction or an objection in force.
type Restraint struct{ Kind, Key, Purpose, Since string }

// Restraints gives those of the subjects with some keys, or without any of all.
func (l Ledger) Restraints(ctx context.Context, tx pgx.Tx, keys ...string) ([]Restraint, error) {
	rows, err := tx.Query(ctx, "SELECT kind, subject::text, purpose, "+spelled("since")+" FROM "+l.Restrictions.Sanitize()+
		" WHERE $1 OR subject::text = ANY ($2) ORDER BY since, 2, kind, purpose", len(keys) == 0, keys)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Restraint])
}

// VerifyEvents follows the chain from its beginning, and gives its length and
// its last digest. Its error says where the chain is not as it was written.
func VerifyEvents(ctx context.Context, conn *pgx.Conn) (n int64, last []byte, err error) {
	rows, err := conn.Query(ctx, selectEvents(""))
	if err != nil {
		return 0, nil, err
	}
	defer rows.Close()
	last = make([]byte, 32)
	for rows.Next() {
		e, err := scanEvent(rows)
		switch {
		case err != nil:
			return n, last, err
		case e.Seq != n+1:
			return n, last, fmt.Errorf("event %d is missing", n+1)
		case !bytes.Equal(e.Previous, last) || !e.Whole():
			return n, last, fmt.Errorf("event %d is not as it was written", e.Seq)
		}
		n, last = e.Seq, e.Digest
	}
	return n, last, rows.Err()
}
