package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/demo"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/veil"
)

// A working day of somebody in support, on the CRM of the demo, with its sample
// policy, a limit of 500 customers a day, and all else as it comes. It must raise
// no alert and refuse nothing. All is said within a minute or so, which is
// harder on what looks for haste than a day is.

const worker = "alice"

// day works through the day, and gives what was wrong.
func (s *stage) day(ctx context.Context) error {
	dir, err := s.office(ctx)
	if err != nil {
		return err
	}
	v, err := veil.Start(context.WithoutCancel(ctx), s.pgveil, dir)
	if err != nil {
		return err
	}
	sent, err := s.shift(ctx, v.Port())
	err = errors.Join(err, v.Stop())
	for _, alert := range v.Alerts() {
		err = errors.Join(err, fmt.Errorf("an alert: %s", alert))
	}
	fmt.Printf("\na working day: %d statements, %d alerts\n", sent, len(v.Alerts()))
	return err
}

// office loads the CRM, and writes what a pgveil before it needs.
func (s *stage) office(ctx context.Context) (dir string, err error) {
	if err := s.exec(ctx, "postgres", "CREATE DATABASE office"); err != nil {
		return "", err
	}
	conn, err := pgx.Connect(ctx, s.server.DSN("office", pgserver.Superuser))
	if err != nil {
		return "", err
	}
	if err := errors.Join(demo.Load(ctx, conn.PgConn(), demo.Generate(1, 2000)), conn.Close(ctx)); err != nil {
		return "", err
	}
	dir = filepath.Join(s.work, "office")
	files := map[string]string{"key": key, "password": s.server.Password(),
		"pgveil.yaml": strings.Replace(fmt.Sprintf(configuration, "office", s.server.Port(), pgserver.Superuser), "policy.yaml", "policy", 1)}
	if err := writeFiles(dir, files); err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, demo.Policy); err != nil {
		return "", err
	}
	if err := amend(filepath.Join(dir, "policy", "roles.yaml"), "subjects: 200/day", "subjects: 500/day"); err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, s.pgveil, "schema", "--apply", "--config", filepath.Join(dir, "pgveil.yaml")).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pgveil schema: %w\n%s", err, out)
	}
	return dir, nil
}

// amend changes a text that a file holds once.
func amend(path, old, replacement string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if strings.Count(string(text), old) != 1 {
		return fmt.Errorf("%s does not hold %q once: %w", path, old, fs.ErrInvalid)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600)
}

// calls is how many customers call or write in a day.
const calls = 45

// shift has somebody work, by a CRM that prepares what it sends.
func (s *stage) shift(ctx context.Context, port int) (sent int, err error) {
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%[1]s-password@127.0.0.1:%d/office?sslmode=disable", worker, port))
	if err != nil {
		return 0, err
	}
	d := &desk{conn: conn, rand: rand.New(rand.NewPCG(9, 17))}
	err = d.morning(ctx)
	for n := 0; n < calls && err == nil; n++ {
		err = d.call(ctx, n)
	}
	if err == nil {
		err = d.evening(ctx)
	}
	return d.sent, errors.Join(err, conn.Close(ctx))
}

// desk is where somebody works.
type desk struct {
	conn *pgx.Conn
	rand *rand.Rand
	sent int
}

// ask sends what the CRM sends, and gives the first column.
func (d *desk) ask(ctx context.Context, sql string, args ...any) (keys []any, err error) {
	d.sent++
	rows, err := d.conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return nil, err
		}
		keys = append(keys, values[0])
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return keys, nil
}

// all sends statements, one after the other.
func (d *desk) all(ctx context.Context, about any, texts ...string) error {
	for _, sql := range texts {
		var args []any
		if about != nil {
			args = []any{about}
		}
		if _, err := d.ask(ctx, sql, args...); err != nil {
			return err
		}
	}
	return nil
}

// morning is the start page: how much there is to do, and the oldest of it.
func (d *desk) morning(ctx context.Context) error {
	return d.all(ctx, nil,
		"SELECT id, login, full_name FROM crm.users WHERE login = current_user",
		"SELECT count(*) FROM crm.tickets WHERE closed_at IS NULL",
		"SELECT priority, count(*) FROM crm.tickets WHERE closed_at IS NULL GROUP BY priority ORDER BY priority",
		"SELECT t.id, t.subject, t.priority, t.opened_at, c.id, c.first_name, c.last_name FROM crm.tickets t JOIN crm.customers c ON c.id = t.customer_id WHERE t.closed_at IS NULL ORDER BY t.priority DESC, t.opened_at LIMIT 25",
	)
}

const (
	search = "SELECT id, first_name, last_name, city FROM crm.customers WHERE lower(last_name) LIKE $1 ORDER BY last_name, first_name LIMIT 10"
	record = "SELECT id, first_name, last_name, email, phone, birth_date, city, country, vip, notes FROM crm.customers WHERE id = $1"
)

// call serves one customer: a search, mistyped now and then, the record, what there
// is of it, an answer, and a note of the call.
func (d *desk) call(ctx context.Context, n int) error {
	letters := []string{"s", "m", "b", "k", "w", "h", "l", "r"}[d.rand.IntN(8)]
	if n%9 == 4 { // a slip, found by nobody
		if _, err := d.ask(ctx, search, "qx"+letters+"%"); err != nil {
			return err
		}
	}
	found, err := d.ask(ctx, search, letters+"%")
	if err != nil || len(found) == 0 {
		return err
	}
	who := found[d.rand.IntN(len(found))]
	if err := d.all(ctx, who, record,
		"SELECT id, subject, priority, opened_at, closed_at FROM crm.tickets WHERE customer_id = $1 ORDER BY opened_at DESC LIMIT 20",
		"SELECT o.id, o.placed_at, o.status, o.total, (SELECT count(*) FROM crm.order_lines l WHERE l.order_id = o.id) FROM crm.orders o WHERE o.customer_id = $1 ORDER BY o.placed_at DESC LIMIT 20",
		"SELECT kind, happened_at, summary FROM crm.activities WHERE customer_id = $1 ORDER BY happened_at DESC LIMIT 10",
	); err != nil {
		return err
	}
	if err := d.answer(ctx, who); err != nil {
		return err
	}
	if n%15 == 14 { // a page of the list, and the next
		return d.all(ctx, n, "SELECT id, first_name, last_name, city FROM crm.customers WHERE vip ORDER BY last_name, id LIMIT 10 OFFSET $1")
	}
	return nil
}

// answer closes a ticket or opens one, and notes the call, in a transaction.
func (d *desk) answer(ctx context.Context, who any) error {
	if err := d.all(ctx, nil, "BEGIN"); err != nil {
		return err
	}
	if err := d.all(ctx, who,
		"UPDATE crm.tickets SET priority = 'normal' WHERE id = (SELECT min(t.id) FROM crm.tickets t WHERE t.customer_id = $1)",
		"INSERT INTO crm.tickets (customer_id, region, subject, body, opened_at) VALUES ($1, 'EU', 'Called', 'Will call back.', now())",
		"INSERT INTO crm.activities (user_id, customer_id, kind, happened_at, minutes, summary) VALUES (1, $1, 'call', now(), 5, 'Asked about an order.')",
	); err != nil {
		return err
	}
	return d.all(ctx, nil, "COMMIT")
}

// evening is the last look at what is open.
func (d *desk) evening(ctx context.Context) error {
	return d.all(ctx, nil,
		"SELECT count(*) FROM crm.tickets WHERE closed_at IS NULL",
		"SELECT kind, count(*), sum(minutes) FROM crm.activities WHERE user_id = 1 GROUP BY kind",
	)
}
