package state

import (
	"context"
	_ "embed"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed doors.sql
var doorsSchema string

// Backend is a connection to the server that a process of pgveil says is its own: the server's
// process number for it, and between which moments, by the server's clock, it
// began. The number alone would do for whoever gets it next.
type Backend struct {
	PID   uint32
	From  time.Time
	Until time.Time
}

// clockSlack is how far apart the two and the server may be about when a
// connection began.
const clockSlack = 2 * time.Second

// Is tells whether a connection of the server's is that one.
func (b Backend) Is(pid uint32, began time.Time) bool {
	return b.PID == pid && !began.Before(b.From.Add(-clockSlack)) && !began.After(b.Until.Add(clockSlack))
}

// Proxy is a process of pgveil in front of the database.
type Proxy struct {
	ID, Name string
	Every    time.Duration // how often it reports
	Logins   int64         // how often it has logged in to the governed database since it started
	Backends []Backend
	Age      time.Duration // since its last report
}

// Alive tells whether a process still reports. One that reports once, a verb of
// the command line say, does not.
func (p *Proxy) Alive() bool { return p.Every > 0 && p.Age < 3*p.Every+clockSlack }

// ReportProxy says that a process is there, and which connections are its own.
// The moments are by the clock of this process, and are kept by the server's.
func (s *Store) ReportProxy(ctx context.Context, p Proxy) error {
	return s.use(ctx, "reporting that this proxy is there", func(c *pgx.Conn) error {
		before := time.Now()
		var server time.Time
		if err := c.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&server); err != nil {
			return err
		}
		ahead := server.Sub(before.Add(time.Since(before) / 2))
		backends := make([]Backend, len(p.Backends))
		for i, c := range p.Backends {
			backends[i] = Backend{c.PID, c.From.Add(ahead), c.Until.Add(ahead)}
		}
		_, err := c.Exec(ctx, `WITH gone AS (DELETE FROM pgveil.backends WHERE seen_at < clock_timestamp() - interval '10 minutes' AND id <> $1)
			INSERT INTO pgveil.backends (id, name, seen_at, every, logins, backends) VALUES ($1, $2, clock_timestamp(), $3, $4, $5)
			ON CONFLICT (id) DO UPDATE SET seen_at = clock_timestamp(), every = excluded.every, logins = excluded.logins, backends = excluded.backends`,
			p.ID, p.Name, p.Every, p.Logins, backends)
		return err
	})
}

// LeaveProxy says that a process ends. What it had is still known for a while: a
// connection of its that somebody saw just before was no way around.
func (s *Store) LeaveProxy(ctx context.Context, id string) error {
	_, err := s.exec(ctx, "reporting that this proxy ends", "UPDATE pgveil.backends SET every = '0' WHERE id = $1", id)
	return err
}

// Proxies gives the processes that have reported lately.
func (s *Store) Proxies(ctx context.Context) (all []Proxy, err error) {
	err = s.use(ctx, "reading which proxies are there", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT id, name, every, logins, backends, extract(epoch FROM clock_timestamp() - seen_at)::float8 FROM pgveil.backends ORDER BY started_at, id`)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p Proxy, err error) {
			var age float64
			err = row.Scan(&p.ID, &p.Name, &p.Every, &p.Logins, &p.Backends, &age)
			p.Age = seconds(age)
			return p, err
		})
		return err
	})
	return all, err
}

// Door is a connection to the database that goes around pgveil.
type Door struct {
	Host     string // of the server, as pgveil reaches it
	PID      uint32
	Began    time.Time
	Kind     string // as pg_stat_activity has it: client backend, walsender
	Database string
	Login    string
	App      string // what the client calls itself
	Addr     string // "unix" for the server's own machine
	First    time.Time
	Last     time.Time
}

// SawDoor notes a connection that goes around pgveil. It tells whether it is the
// first to do so, of all processes. Those that are over are kept for 90 days.
func (s *Store) SawDoor(ctx context.Context, d Door) (first bool, err error) {
	err = s.use(ctx, "noting a connection around pgveil", func(c *pgx.Conn) error {
		return c.QueryRow(ctx, `WITH gone AS (DELETE FROM pgveil.side_doors WHERE last_seen < clock_timestamp() - interval '90 days')
			INSERT INTO pgveil.side_doors AS d (host, pid, began, kind, database, login, application, address)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (host, pid, began) DO UPDATE SET last_seen = clock_timestamp()
			RETURNING d.xmax = 0`, d.Host, int64(d.PID), d.Began, d.Kind, d.Database, d.Login, d.App, d.Addr).Scan(&first)
	})
	return first, err
}

// Doors gives the connections around pgveil that were seen since a moment.
func (s *Store) Doors(ctx context.Context, since time.Time) (all []Door, err error) {
	err = s.use(ctx, "reading which connections went around pgveil", func(c *pgx.Conn) error {
		rows, err := c.Query(ctx, `SELECT host, pid::bigint, began, kind, database, login, application, address, first_seen, last_seen
			FROM pgveil.side_doors WHERE last_seen >= $1 ORDER BY first_seen, pid`, since)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Door])
		return err
	})
	return all, err
}
