package state

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
)

// Elevation is a purpose that somebody asked for, for a time.
type Elevation struct {
	ID       int64
	Login    string // under which it was asked for
	User     string // who is elevated
	Role     string // whose elevation it is, of those in the policy
	Purpose  string
	Reason   string
	Approval string        // none, before or after, as the policy said
	For      time.Duration // how long it lasts
	State    string        // asked, granted, denied or revoked
	Asked    time.Time
	Left     time.Duration // until it ends, when it is granted; not positive when it is over
	Decided  string        // by whom, and Decision is what they said
	Decision string
	Reviewed string // by whom, and Review is what they found
	Review   string
}

const elevationColumns = `id, login, username, role, purpose, reason, approval, lasts, state, asked_at,
	coalesce(extract(epoch FROM ends_at - clock_timestamp()), 0)::float8,
	coalesce(decided_by, ''), coalesce(decision, ''), coalesce(reviewed_by, ''), coalesce(review, '')`

func scanElevation(row pgx.CollectableRow) (e Elevation, err error) {
	var left float64
	err = row.Scan(&e.ID, &e.Login, &e.User, &e.Role, &e.Purpose, &e.Reason, &e.Approval, &e.For, &e.State, &e.Asked, &left,
		&e.Decided, &e.Decision, &e.Reviewed, &e.Review)
	e.Left = time.Duration(left * float64(time.Second))
	return e, err
}

// Elevate writes down that somebody asks. Where no approval is needed before, it
// is in force with that.
func (s *Store) Elevate(ctx context.Context, e Elevation) (made Elevation, err error) {
	err = s.use(ctx, "asking for an elevation", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `INSERT INTO pgveil.elevations (login, username, role, purpose, reason, approval, lasts, state, ends_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $6 = 'before' THEN 'asked' ELSE 'granted' END,
				CASE WHEN $6 = 'before' THEN NULL ELSE clock_timestamp() + $7::interval END)
			RETURNING `+elevationColumns, e.Login, e.User, e.Role, e.Purpose, e.Reason, e.Approval, e.For)
		if err != nil {
			return err
		}
		made, err = pgx.CollectExactlyOneRow(rows, scanElevation)
		return err
	})
	return made, err
}

// Elevation gives one by its number.
func (s *Store) Elevation(ctx context.Context, id string) (e Elevation, err error) {
	all, err := s.elevations(ctx, "WHERE id = $1::text::bigint", id)
	if err == nil && len(all) == 0 {
		return e, noElevation()
	}
	if err != nil {
		return e, err
	}
	return all[0], nil
}

func noElevation() error {
	return privacy.Fail(privacy.NotFound, "PRIVACY SHOW ELEVATIONS lists them", "there is no such elevation")
}

// Granted gives the elevations that are in force.
func (s *Store) Granted(ctx context.Context) ([]Elevation, error) {
	return s.elevations(ctx, "WHERE state = 'granted' AND ends_at > clock_timestamp() ORDER BY id")
}

// kept is how long an elevation that is over is listed.
const kept = "interval '90 days'"

// Elevations gives those of the last days, the newest first.
func (s *Store) Elevations(ctx context.Context) ([]Elevation, error) {
	return s.elevations(ctx, "WHERE asked_at > now() - "+kept+" ORDER BY id DESC LIMIT 1000")
}

func (s *Store) elevations(ctx context.Context, which string, args ...any) (all []Elevation, err error) {
	err = s.use(ctx, "reading elevations", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT "+elevationColumns+" FROM pgveil.elevations "+which, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanElevation)
		return err
	})
	return all, err
}

// Approve puts an elevation that was asked for in force, from now on.
func (s *Store) Approve(ctx context.Context, id int64, by, why string) error {
	return s.change(ctx, id, "it is not waiting for approval", `UPDATE pgveil.elevations
		SET state = 'granted', ends_at = clock_timestamp() + lasts, decided_by = $2, decided_at = now(), decision = $3
		WHERE id = $1 AND state = 'asked'`, by, why)
}

// Deny refuses an elevation that was asked for.
func (s *Store) Deny(ctx context.Context, id int64, by, why string) error {
	return s.change(ctx, id, "it is not waiting for approval", `UPDATE pgveil.elevations
		SET state = 'denied', decided_by = $2, decided_at = now(), decision = $3
		WHERE id = $1 AND state = 'asked'`, by, why)
}

// Revoke ends an elevation that is in force.
func (s *Store) Revoke(ctx context.Context, id int64, by, why string) error {
	return s.change(ctx, id, "it is not in force", `UPDATE pgveil.elevations
		SET state = 'revoked', ends_at = clock_timestamp(), decided_by = $2, decided_at = now(), decision = $3
		WHERE id = $1 AND state = 'granted' AND ends_at > clock_timestamp()`, by, why)
}

// Review signs an elevation off that was in force before anybody looked at it.
func (s *Store) Review(ctx context.Context, id int64, by, found string) error {
	return s.change(ctx, id, "it needs no review, or had one", `UPDATE pgveil.elevations
		SET reviewed_by = $2, reviewed_at = now(), review = $3
		WHERE id = $1 AND approval = 'after' AND reviewed_by IS NULL`, by, found)
}

// errUnchanged says that an elevation is no longer as it was when it was read.
var errUnchanged = errors.New("no row was changed")

func (s *Store) change(ctx context.Context, id int64, otherwise, sql string, by, why string) error {
	err := s.use(ctx, "deciding an elevation", func(c *pgx.Conn) error {
		tag, err := c.Exec(ctx, sql, id, by, why)
		if err == nil && tag.RowsAffected() != 1 {
			return errUnchanged
		}
		return err
	})
	if errors.Is(err, errUnchanged) {
		return privacy.Fail(privacy.SchemaChanged, "PRIVACY SHOW ELEVATIONS says how it stands", "elevation %d cannot be decided so: %s", id, otherwise)
	}
	return err
}
