package state

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/policy"
)

// ContainmentChannel is notified whenever a quarantine or an order was written.
const ContainmentChannel = "pgveil_containment"

// Quarantine keeps somebody out, at every proxy of the database.
type Quarantine struct {
	ID        int64
	Who       policy.Target
	Name      string // of the user or login; an address, or a network
	Reason    string
	By        string
	Automatic bool // By is pgveil
	Made      time.Time
	For       time.Duration // 0: until it is released
	Left      time.Duration // until it ends by itself; of one that does not, 0
	State     string        // in force, over or released
	Released  string        // by whom, and Release is why
	Release   string
}

const quarantineColumns = `id, who, name, reason, made_by, automatic, made_at,
	CASE WHEN isfinite(ends_at) THEN extract(epoch FROM ends_at - made_at) ELSE 0 END::float8,
	CASE WHEN isfinite(ends_at) THEN extract(epoch FROM ends_at - clock_timestamp()) ELSE 0 END::float8,
	CASE WHEN released_at IS NOT NULL THEN 'released' WHEN ends_at > clock_timestamp() THEN 'in force' ELSE 'over' END,
	coalesce(released_by, ''), coalesce(release, '')`

func scanQuarantine(row pgx.CollectableRow) (q Quarantine, err error) {
	var lasts, left float64
	var who string
	err = row.Scan(&q.ID, &who, &q.Name, &q.Reason, &q.By, &q.Automatic, &q.Made, &lasts, &left, &q.State, &q.Released, &q.Release)
	q.For, q.Left = seconds(lasts), seconds(left)
	for _, t := range []policy.Target{policy.TargetUser, policy.TargetLogin, policy.TargetAddress} {
		if t.String() == who {
			q.Who = t
		}
	}
	return q, err
}

// Quarantine writes one down, which is in force with that. An automatic one that
// would add little to one in force is not written; then none is given.
func (s *Store) Quarantine(ctx context.Context, q Quarantine) (made []Quarantine, err error) {
	const write = `INSERT INTO pgveil.quarantines (who, name, reason, made_by, automatic, ends_at)
		SELECT $1, $2, $3, $4, $5, CASE WHEN $6 = interval '0' THEN 'infinity' ELSE clock_timestamp() + $6 END
		WHERE NOT ($5 AND EXISTS (SELECT FROM pgveil.quarantines WHERE who = $1 AND name = $2 AND released_at IS NULL
			AND ends_at >= CASE WHEN $6 = interval '0' THEN 'infinity' ELSE clock_timestamp() + $6 / 2 END))
		RETURNING ` + quarantineColumns
	err = s.use(ctx, "writing a quarantine", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, write, q.Who.String(), q.Name, q.Reason, q.By, q.Automatic, q.For)
		if err != nil {
			return err
		}
		if made, err = pgx.CollectRows(rows, scanQuarantine); err != nil || len(made) == 0 {
			return err
		}
		return notify(ctx, c)
	})
	return made, err
}

func notify(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, "NOTIFY "+ContainmentChannel)
	return err
}

// Release ends all quarantines of one, and tells how many those were.
func (s *Store) Release(ctx context.Context, who policy.Target, name, by, why string) (n int64, err error) {
	const release = `UPDATE pgveil.quarantines SET released_at = clock_timestamp(), released_by = $3, release = $4
		WHERE who = $1 AND name = $2 AND released_at IS NULL AND ends_at > clock_timestamp()`
	err = s.use(ctx, "releasing a quarantine", func(c *pgx.Conn) error {
		tag, err := c.Exec(ctx, release, who.String(), name, by, why)
		if n = tag.RowsAffected(); err != nil || n == 0 {
			return err
		}
		return notify(ctx, c)
	})
	return n, err
}

// Quarantined gives the quarantines in force.
func (s *Store) Quarantined(ctx context.Context) ([]Quarantine, error) {
	return s.quarantines(ctx, "WHERE released_at IS NULL AND ends_at > clock_timestamp() ORDER BY id")
}

// Quarantines gives those in force and those of the last days, the newest first.
func (s *Store) Quarantines(ctx context.Context) ([]Quarantine, error) {
	return s.quarantines(ctx, `WHERE released_at IS NULL AND ends_at > clock_timestamp() OR made_at > clock_timestamp() - `+kept+`
		ORDER BY released_at IS NULL AND ends_at > clock_timestamp() DESC, id DESC LIMIT 1000`)
}

func (s *Store) quarantines(ctx context.Context, which string) (all []Quarantine, err error) {
	err = s.use(ctx, "reading quarantines", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, "SELECT "+quarantineColumns+" FROM pgveil.quarantines "+which)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, scanQuarantine)
		return err
	})
	return all, err
}
