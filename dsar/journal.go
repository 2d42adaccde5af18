package dsar

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/state"
)

// ErasureStep is one step of an erasure as its journal has it.
type ErasureStep struct {
	Request int64     `json:"request"`
	Step    int64     `json:"step"`  // counted from 1
	Batch   int64     `json:"batch"` // the transaction, counted from 1
	Action  string    `json:"action"`
	Table   string    `json:"table,omitempty"`
	Rows    int64     `json:"rows"`
	Plan    string    `json:"plan"`   // the plan's hash
	Digest  string    `json:"digest"` // of this step and all before it
	At      time.Time `json:"at"`
}

// doneAction is the action of the step that ends a journal.
const doneAction = "done"

// A rehearsal has a journal of its own, which goes with its transaction.
const (
	journalTable   = "pgveil.erasure_steps"
	rehearsalTable = "pg_temp.pgveil_rehearsal"
	makeRehearsal  = `CREATE TEMPORARY TABLE pgveil_rehearsal (request bigint, step bigint, batch bigint, action text, relation text,
		rows bigint, plan text, digest bytea, mark xid, done_at timestamptz DEFAULT clock_timestamp()) ON COMMIT DROP`
)

// journal is what was done for one request. A step is written in the very
// subtransaction that does it: then it has the same xmin as the rows which the
// step wrote, and those need no mark of their own.
type journal struct {
	table   string
	request int64
	plan    string
	last    ErasureStep
	batch   int64
}

// openJournal reads how far a request has come.
func openJournal(ctx context.Context, conn *pgx.Conn, request int64, plan string) (*journal, error) {
	j := &journal{table: journalTable, request: request, plan: plan}
	var digest []byte
	err := conn.QueryRow(ctx, "SELECT step, batch, action, rows, digest, done_at FROM "+j.table+" WHERE request = $1 ORDER BY step DESC LIMIT 1", request).
		Scan(&j.last.Step, &j.last.Batch, &j.last.Action, &j.last.Rows, &digest, &j.last.At)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, state.Explain("reading the journal of erasures", err)
	}
	j.last.Digest, j.batch = hex.EncodeToString(digest), j.last.Batch
	return j, nil
}

// finished tells whether the erasure is over.
func (j *journal) finished() bool { return j.last.Action == doneAction }

// mark is where a journal stands, to go back to when a transaction fails.
func (j *journal) mark() journal { return *j }

// write adds a step within the subtransaction that does it.
func (j *journal) write(ctx context.Context, tx pgx.Tx, action, table string, rows int64) (ErasureStep, error) {
	s := ErasureStep{Request: j.request, Step: j.last.Step + 1, Batch: j.batch, Action: action, Table: table, Rows: rows, Plan: j.plan}
	digest := s.digest(j.last.Digest)
	s.Digest = hex.EncodeToString(digest)
	err := tx.QueryRow(ctx, "INSERT INTO "+j.table+` (request, step, batch, action, relation, rows, plan, digest)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING done_at`,
		s.Request, s.Step, s.Batch, s.Action, s.Table, s.Rows, s.Plan, digest).Scan(&s.At)
	if err != nil {
		return s, state.Explain("writing the journal of an erasure", err)
	}
	if action == Anonymise.String() {
		// By its mark it is known as one that was written here, and not loaded from
		// a dump, in one transaction perhaps with all that it would speak for.
		if _, err := tx.Exec(ctx, "UPDATE "+j.table+" SET mark = xmin WHERE request = $1 AND step = $2", s.Request, s.Step); err != nil {
			return s, state.Explain("writing the journal of an erasure", err)
		}
	}
	j.last = s
	return s, nil
}

// digest ties a step to all before it.
func (s ErasureStep) digest(before string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "pgveil erasure step\n%s\n%d %d %d %q %q %d %q\n",
		before, s.Request, s.Step, s.Batch, s.Action, s.Table, s.Rows, s.Plan))
	return sum[:]
}

// Journal gives the steps of a request, and an error when they are not the
// ones that were written.
func Journal(ctx context.Context, conn *pgx.Conn, request int64) ([]ErasureStep, error) {
	rows, err := conn.Query(ctx, "SELECT step, batch, action, relation, rows, plan, digest, done_at FROM "+journalTable+
		" WHERE request = $1 ORDER BY step", request)
	if err != nil {
		return nil, state.Explain("reading the journal of erasures", err)
	}
	before := ""
	steps, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ErasureStep, error) {
		s := ErasureStep{Request: request}
		var digest []byte
		if err := row.Scan(&s.Step, &s.Batch, &s.Action, &s.Table, &s.Rows, &s.Plan, &digest, &s.At); err != nil {
			return s, err
		}
		s.Digest = hex.EncodeToString(digest)
		if s.Digest != hex.EncodeToString(s.digest(before)) {
			return s, fmt.Errorf("step %d of erasure %d is not as it was written", s.Step, request)
		}
		before = s.Digest
		return s, nil
	})
	return steps, state.Explain("reading the journal of erasures", err)
}

// settled is the condition under which a row of a table is as a step of the
// request has left it that anonymised that table. What a trigger writes meanwhile
// has the step's xmin as well: in other tables the name tells, in the table
// itself alone sees that there is none.
func (j *journal) settled(table, alias string) string {
	return fmt.Sprintf("%s.xmin = ANY (ARRAY(SELECT j.xmin FROM %s AS j WHERE j.request = %d AND j.action = 'anonymise' AND j.mark = j.xmin AND j.relation = %s))",
		alias, j.table, j.request, literal(table))
}
