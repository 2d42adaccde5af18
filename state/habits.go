package state

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/detect"
)

// In what rows are added, and so locked, is the order of their names: proxies
// that write the same at once do not wait for each other in a circle.
const (
	addHabits = `INSERT INTO pgveil.habits (username, day, sketch, subjects, peak, hours)
		SELECT username, day, '', 0, 0, 0 FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::date[])) AS n (username, day)
		ORDER BY username, day ON CONFLICT (username, day) DO NOTHING`
	lockHabits = `SELECT h.username, h.day::text, h.sketch, h.subjects, h.peak, h.hours FROM pgveil.habits AS h
		JOIN ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::date[])) AS n (username, day) USING (username, day)
		ORDER BY h.username, h.day FOR UPDATE OF h`
	setHabits = `UPDATE pgveil.habits AS h SET sketch = n.sketch, subjects = n.subjects, peak = n.peak, hours = n.hours
		FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::date[]), pg_catalog.unnest($3::bytea[]),
			pg_catalog.unnest($4::int[]), pg_catalog.unnest($5::int[]), pg_catalog.unnest($6::int[])) AS n (username, day, sketch, subjects, peak, hours)
		WHERE h.username = n.username AND h.day = n.day`
	addHabitNames = `INSERT INTO pgveil.habit_names (username, what, name, first_seen)
		SELECT username, what, name, day FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[]),
			pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::date[])) AS n (username, what, name, day)
		ORDER BY username, what, name ON CONFLICT DO NOTHING`
	dropHabits = `DELETE FROM pgveil.habits WHERE day < (SELECT pg_catalog.max(d) FROM pg_catalog.unnest($1::date[]) AS d) - 35`
	readHabits = `SELECT username, day::text, CASE WHEN day = (SELECT pg_catalog.max(day) FROM pgveil.habits) THEN sketch ELSE '' END, subjects, peak, hours
		FROM pgveil.habits WHERE username = ANY ($1) AND day >= $2::date`
	readHabitNames = `SELECT username, what, name FROM pgveil.habit_names WHERE username = ANY ($1)`
)

// KeepHabits writes down what was seen of people on a day, beside what other
// proxies have seen. It gives what all of them saw.
func (s *Store) KeepHabits(ctx context.Context, habits []detect.Habit) (together []detect.Habit, err error) {
	err = s.use(ctx, "keeping habits", func(c *pgx.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		if together, err = keepHabits(ctx, tx, habits); err != nil {
			return errors.Join(err, tx.Rollback(ctx))
		}
		return tx.Commit(ctx)
	})
	return together, err
}

func keepHabits(ctx context.Context, tx pgx.Tx, habits []detect.Habit) ([]detect.Habit, error) {
	users, days := make([]string, len(habits)), make([]string, len(habits))
	for i, h := range habits {
		users[i], days[i] = h.User, h.Day
	}
	if _, err := tx.Exec(ctx, addHabits, users, days); err != nil {
		return nil, err
	}
	written, err := scanHabits(ctx, tx, lockHabits, users, days)
	if err != nil {
		return nil, err
	}
	together := joinHabits(written, habits)
	if err := setTogether(ctx, tx, together); err != nil {
		return nil, err
	}
	if err := addNames(ctx, tx, habits); err != nil {
		return nil, err
	}
	_, err = tx.Exec(ctx, dropHabits, days)
	return together, err
}

// joinHabits puts what was written together with what was seen since.
func joinHabits(written, seen []detect.Habit) []detect.Habit {
	byWho := map[[2]string]detect.Habit{}
	for _, h := range written {
		byWho[[2]string{h.User, h.Day}] = h
	}
	for _, h := range seen {
		w := byWho[[2]string{h.User, h.Day}]
		h.Sketch = detect.MergeSketches(w.Sketch, h.Sketch)
		h.Subjects, h.Peak, h.Hours = detect.CountSketch(h.Sketch), max(w.Peak, h.Peak), w.Hours|h.Hours
		h.Tables, h.Networks = nil, nil
		byWho[[2]string{h.User, h.Day}] = h
	}
	together := make([]detect.Habit, 0, len(byWho))
	for _, h := range byWho {
		together = append(together, h)
	}
	slices.SortFunc(together, func(a, b detect.Habit) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.Day, b.Day)) })
	return together
}

func setTogether(ctx context.Context, tx pgx.Tx, habits []detect.Habit) error {
	n := len(habits)
	users, days, sketches := make([]string, n), make([]string, n), make([][]byte, n)
	subjects, peaks, hours := make([]int, n), make([]int, n), make([]int, n)
	for i, h := range habits {
		users[i], days[i], sketches[i], subjects[i], peaks[i], hours[i] = h.User, h.Day, h.Sketch, h.Subjects, h.Peak, int(h.Hours)
	}
	_, err := tx.Exec(ctx, setHabits, users, days, sketches, subjects, peaks, hours)
	return err
}

func addNames(ctx context.Context, tx pgx.Tx, habits []detect.Habit) error {
	var users, whats, names, days []string
	for _, h := range habits {
		for what, list := range map[string][]string{"table": h.Tables, "network": h.Networks} {
			for _, name := range list {
				users, whats, names, days = append(users, h.User), append(whats, what), append(names, name), append(days, h.Day)
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, addHabitNames, users, whats, names, days)
	return err
}

// Habits gives the histories of some people since a day.
func (s *Store) Habits(ctx context.Context, users []string, since string) (history []detect.Habit, err error) {
	err = s.use(ctx, "reading habits", func(c *pgx.Conn) error {
		if history, err = scanHabits(ctx, c, readHabits, users, since); err != nil {
			return err
		}
		rows, err := c.Query(ctx, readHabitNames, users)
		if err != nil {
			return err
		}
		var user, what, name string
		_, err = pgx.ForEachRow(rows, []any{&user, &what, &name}, func() error {
			h := detect.Habit{User: user}
			if what == "table" {
				h.Tables = []string{name}
			} else {
				h.Networks = []string{name}
			}
			history = append(history, h)
			return nil
		})
		return err
	})
	return history, err
}

// querier is a connection, or a transaction on it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func scanHabits(ctx context.Context, q querier, sql string, args ...any) ([]detect.Habit, error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h detect.Habit, err error) {
		err = row.Scan(&h.User, &h.Day, &h.Sketch, &h.Subjects, &h.Peak, &h.Hours)
		return h, err
	})
}
