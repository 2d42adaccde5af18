package dsar

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// whoSawColumns are those of pgveil.who_saw, in its order.
var whoSawColumns = []string{"at", "certain", "at_most", "username", "login", "roles", "purpose", "ticket", "client", "app", "command", "decision",
	"columns", "shows", "rows", "tag", "sqlstate", "ended_at", "log", "seq", "shape"}

const whoSaw = `SELECT array(SELECT coalesce(v, '') FROM unnest(ARRAY[at::text, certain::text, at_most::text, username, login,
		array_to_string(roles, ', '), purpose, ticket, client, app, command, decision, array_to_string(columns, ', '), array_to_string(shows, ', '),
		rows::text, tag, sqlstate, ended_at::text, log, seq::text, shape]) WITH ORDINALITY AS u (v, n) ORDER BY n)
	FROM pgveil.who_saw($1, $2::text, nullif($3, '')::timestamptz, nullif($4, '')::timestamptz)`

// whoSaw emits the statements that touched a subject's rows, or may have.
func (s *Service) whoSaw(ctx context.Context, cmd privacy.Command, emit func([]string) error) error {
	set, _ := s.Current()
	subject, err := subjectNamed(set.Subjects(), cmd.Subject)
	if err != nil {
		return err
	}
	return s.connected(ctx, func(conn *pgx.Conn) error {
		return inSnapshot(ctx, conn, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL DateStyle = 'ISO, YMD'"); err != nil {
				return err
			}
			key, err := s.keyOf(ctx, tx, set, subject, cmd.Key)
			if err != nil {
				return err
			}
			return explainWhoSaw(emitSightings(ctx, tx, []any{subject.Name, key, cmd.Since, cmd.Before}, emit))
		})
	})
}

func emitSightings(ctx context.Context, tx pgx.Tx, args []any, emit func([]string) error) error {
	rows, err := tx.Query(ctx, whoSaw, args...)
	if err != nil {
		return err
	}
	var row []string
	_, err = pgx.ForEachRow(rows, []any{&row}, func() error { return emit(row) })
	return err
}

// keyOf gives the key of a subject as the access log's table of tokens has it.
// One that is gone from the database is still known by its key.
func (s *Service) keyOf(ctx context.Context, tx pgx.Tx, set *policy.Set, of policy.Subject, key privacy.Key) (string, error) {
	b := book{state.Ledger{Table: pgx.Identifier{of.Relation.Schema, of.Relation.Name}}, of, set, s.Values}
	found, err := b.find(ctx, tx, key)
	var said *privacy.Error
	if errors.As(err, &said) && said.Code == privacy.NotFound && key.Column == "" {
		return key.Values[0], nil
	}
	return found, err
}

// explainWhoSaw says what to do about an error where the log is not in the
// database, or what SINCE and UNTIL name is no time.
func explainWhoSaw(err error) error {
	var e *pgconn.PgError
	switch {
	case !errors.As(err, &e):
		return err
	case aboutData(e):
		return privacy.Fail(privacy.BadKey, "write it as '2027-01-01', or as '2027-01-01 12:00+01'", "SINCE or UNTIL is not followed by a date or time")
	case slices.Contains([]string{"3F000", "42P01", "42883"}, e.Code):
		return privacy.Fail(privacy.NotAvailable, `an operator sets audit.table and runs "pgveil schema --apply"`, "the access log is not in the database")
	default:
		return err
	}
}
