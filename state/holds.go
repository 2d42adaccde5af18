package state

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/privacy"
)

//go:embed holds.sql
var holdsSchema string

// Hold keeps rows from being erased, by a request or by retention: a legal hold.
type Hold struct {
	ID        int64
	Kind, Key string // of the subject whose rows are held, the key as text; "": of everybody
	Relation  string // schema.table: only rows of it are held; "": of every relation
	Matter    string // why
	By        string
	Made      time.Time
	Until     time.Time // zero: until it is released
	Released  time.Time // zero: it was not
}

// HoldsInForce is the condition under which a row h of pgveil.holds is in force.
const HoldsInForce = "h.released_at IS NULL AND h.ends_at > pg_catalog.clock_timestamp()"

// Over tells whether a hold, in force, keeps rows of a subject in a relation.
func (h Hold) Over(kind, key, relation string) bool {
	return (h.Kind == "" || h.Kind == kind && h.Key == key) && (h.Relation == "" || h.Relation == relation)
}

const holdColumns = `h.id, h.kind, h.key, h.relation, h.matter, h.made_by, h.made_at,
	CASE WHEN isfinite(h.ends_at) THEN h.ends_at END, h.released_at`

func scanHold(row pgx.CollectableRow) (h Hold, err error) {
	var until, released *time.Time
	err = row.Scan(&h.ID, &h.Kind, &h.Key, &h.Relation, &h.Matter, &h.By, &h.Made, &until, &released)
	if until != nil {
		h.Until = *until
	}
	if released != nil {
		h.Released = *released
	}
	return h, err
}

// HoldsOver gives the holds in force that concern a subject, and those that
// concern everybody, as a transaction sees them. Whoever erases by that keeps
// new ones out until the transaction ends: LockHolds.
func HoldsOver(ctx context.Context, tx pgx.Tx, kind, key string) ([]Hold, error) {
	rows, err := tx.Query(ctx, "SELECT "+holdColumns+" FROM pgveil.holds AS h WHERE "+HoldsInForce+
		" AND (h.kind = '' OR h.kind = $1 AND h.key = $2) ORDER BY h.id", kind, key)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanHold)
}

// LockHolds makes new holds wait for the end of a transaction.
func LockHolds(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "LOCK TABLE pgveil.holds IN SHARE MODE")
	return err
}

// AddHold writes a hold down, which is in force with that until it is released
// or until a moment, which is as PostgreSQL reads it; "" for none.
func AddHold(ctx context.Context, tx pgx.Tx, h Hold, until string) (made Hold, err error) {
	if until == "" {
		until = "infinity"
	}
	rows, err := tx.Query(ctx, `WITH h AS (INSERT INTO pgveil.holds (kind, key, relation, matter, made_by, ends_at)
		VALUES ($1, $2, $3, $4, $5, $6::text::timestamptz) RETURNING *) SELECT `+holdColumns+` FROM h`, h.Kind, h.Key, h.Relation, h.Matter, h.By, until)
	if err != nil {
		return h, err
	}
	made, err = pgx.CollectExactlyOneRow(rows, scanHold)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && strings.HasPrefix(refused.Code, "22") {
		return h, privacy.Fail(privacy.BadKey, "write it as '2028-01-01', or as '2028-01-01 12:00+01'", "UNTIL is not followed by a date or time")
	}
	return made, err
}

// LiftHold ends a hold that is in force.
func LiftHold(ctx context.Context, tx pgx.Tx, id int64, by, why string) (h Hold, err error) {
	rows, err := tx.Query(ctx, `WITH h AS (UPDATE pgveil.holds AS h SET released_at = clock_timestamp(), released_by = $2, release = $3
		WHERE h.id = $1 AND `+HoldsInForce+` RETURNING h.*) SELECT `+holdColumns+` FROM h`, id, by, why)
	if err != nil {
		return h, err
	}
	h, err = pgx.CollectExactlyOneRow(rows, scanHold)
	if errors.Is(err, pgx.ErrNoRows) {
		return h, privacy.Fail(privacy.NotFound, "PRIVACY SHOW HOLDS lists those in force", "there is no such hold in force")
	}
	return h, err
}

// Digest tells a hold, and its end, from every other.
func (h Hold) Digest() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "hold %d %q %q %q %q %q %d %d %d", h.ID, h.Kind, h.Key, h.Relation, h.Matter, h.By,
		h.Made.UnixMicro(), h.Until.UnixMicro(), h.Released.UnixMicro()))
	return hex.EncodeToString(sum[:])
}

// Holds gives the holds in force.
func (s *Store) Holds(ctx context.Context) (all []Hold, err error) {
	err = s.use(ctx, "reading holds", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT "+holdColumns+" FROM pgveil.holds AS h WHERE "+HoldsInForce+" ORDER BY h.id")
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanHold)
		return err
	})
	return all, err
}
