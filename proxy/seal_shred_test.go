package proxy_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/proxy"
	"github.com/pgveil/pgveil/seal"
	"github.com/pgveil/pgveil/shred"
)

// startShredding is startVault with a store of data keys.
func startShredding(t *testing.T) (f *front, database string, keys *shred.Keys, direct *pgx.Conn) {
	t.Helper()
	return startShreddingIn(t, pgtest.Database(t, ""))
}

// startShreddingIn is startShredding with the store in a database.
func startShreddingIn(t *testing.T, name string) (f *front, database string, keys *shred.Keys, direct *pgx.Conn) {
	t.Helper()
	store, err := shred.Open(t.Context(), pgtest.Server(t).DSN(name, pgserver.Superuser), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	if err := store.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, database = startVault(t, func(o *proxy.Options) {
		keys = &shred.Keys{Store: store, Ring: func() *seal.Ring { return o.Ring }, Log: slog.New(slog.DiscardHandler)}
		o.DataKeys = keys
	})
	return f, database, keys, pgtest.Connect(t, pgtest.Server(t).DSN(database, pgserver.Superuser))
}

// dataKeysIn gives the data keys that the stored rows name, by column and row.
func dataKeysIn(t *testing.T, direct *pgx.Conn) (ids []seal.DataKeyID) {
	t.Helper()
	rows, err := direct.Query(t.Context(), `SELECT allergy, weight FROM patients ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	var allergy *string
	var weight []byte
	_, err = pgx.ForEachRow(rows, []any{&allergy, &weight}, func() error {
		for stored, as := range map[string]string{orEmpty(allergy): "text", string(weight): "bytea"} {
			if stored == "" {
				continue
			}
			id, ok := seal.DataKeyOf([]byte(stored), as)
			if !ok {
				return fmt.Errorf("%q names no data key", stored)
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// Each value that is written has a key of its own, and opens, in every form of the
// protocol, until that is destroyed.
func TestShredded(t *testing.T) {
	f, database, keys, direct := startShredding(t)
	for name, edit := range map[string]func(*pgx.ConnConfig){"simple": simply, "exec": plainly, "prepared": func(*pgx.ConnConfig) {}} {
		for _, user := range []string{"root", "carla"} {
			t.Run(name+" "+user, func(t *testing.T) {
				conn := as(t, f, database, user, edit)
				run(t, conn, `DELETE FROM patients`)
				for i := range 40 {
					run(t, conn, `INSERT INTO patients (id, allergy, weight) VALUES ($1, $2, $3)`, int32(2*i), "nuts", 70.5)
				}
				run(t, conn, `INSERT INTO patients (id, allergy) VALUES ($1, $3), ($2, $3)`, int32(101), int32(103), "dust")
				run(t, conn, `UPDATE patients SET allergy = $1 WHERE id = $2`, "bees", int32(4))
				ids := dataKeysIn(t, direct)
				seen := map[seal.DataKeyID]bool{}
				for _, id := range ids {
					seen[id] = true
				}
				if len(ids) != 82 || len(seen) != 82 {
					t.Errorf("%d values have %d keys", len(ids), len(seen))
				}
				keys.Forget() // they are fetched
				check := func(want map[string]int) {
					t.Helper()
					rows, err := conn.Query(t.Context(), `SELECT allergy FROM patients ORDER BY id`)
					if err != nil {
						t.Fatal(err)
					}
					all, err := pgx.CollectRows(rows, pgx.RowTo[string])
					got := map[string]int{}
					for _, v := range all {
						got[v]++
					}
					if err != nil || !cmp.Equal(got, want) {
						t.Errorf("got %v, %v", got, err)
					}
				}
				check(map[string]int{"nuts": 39, "bees": 1, "dust": 2})
				check(map[string]int{"nuts": 39, "bees": 1, "dust": 2}) // now at hand
				if _, err := keys.Destroy(t.Context(), ids); err != nil {
					t.Fatal(err)
				}
				var e *pgconn.PgError
				var got string
				err := conn.QueryRow(t.Context(), `SELECT allergy FROM patients WHERE id = 4`).Scan(&got)
				if !errors.As(err, &e) || e.Code != "XX001" || !strings.Contains(e.Message, "destroyed") {
					t.Errorf("got %q, %v", got, err)
				}
			})
		}
	}
	masked := as(t, f, database, "amy")
	run(t, as(t, f, database, "root"), `INSERT INTO patients (id, allergy) VALUES (1000, 'nuts')`)
	keys.Forget()
	var got string
	if err := masked.QueryRow(t.Context(), `SELECT allergy FROM patients WHERE id = 1000`).Scan(&got); err != nil || got != "n***" {
		t.Errorf("masked, it is %q, %v", got, err)
	}
}

// COPY gives each value a key, more than are made at once, and opens them.
func TestShreddedCopy(t *testing.T) {
	f, database, keys, direct := startShredding(t)
	for _, user := range []string{"root", "carla"} {
		conn := as(t, f, database, user)
		run(t, conn, `DELETE FROM patients`)
		var in bytes.Buffer
		const rows = 5000
		for i := range rows {
			fmt.Fprintf(&in, "%d\tnuts %[1]d\t70.%[1]d\n", i)
		}
		want := in.String()
		if _, err := conn.PgConn().CopyFrom(t.Context(), &in, `COPY patients (id, allergy, weight) FROM STDIN`); err != nil {
			t.Fatal(err)
		}
		ids := dataKeysIn(t, direct)
		seen := map[seal.DataKeyID]bool{}
		for _, id := range ids {
			seen[id] = true
		}
		if len(seen) != 2*rows {
			t.Errorf("%d values have %d keys", len(ids), len(seen))
		}
		for _, options := range []string{"", "(FORMAT csv, DELIMITER E'\\t')"} {
			keys.Forget()
			var out bytes.Buffer
			if _, err := conn.PgConn().CopyTo(t.Context(), &out, `COPY patients (id, allergy, weight) TO STDOUT `+options); err != nil || out.String() != want {
				t.Errorf("COPY %s: %d bytes of %d, %v", options, out.Len(), len(want), err)
			}
		}
	}
}

// Keys of rows that are streamed are fetched together with those of the rows that have
// arrived with them, in every form of the protocol: the store is asked a few times.
func TestShreddedFetches(t *testing.T) {
	server, store := pgtest.Server(t), pgtest.Database(t, "")
	run(t, pgtest.Connect(t, server.DSN("postgres", pgserver.Superuser)), `ALTER DATABASE `+store+` SET log_statement = 'all'; ALTER DATABASE `+store+` SET log_parameter_max_length = 0`, pgx.QueryExecModeSimpleProtocol)
	f, database, keys, direct := startShreddingIn(t, store)
	const rows = 5000
	var in bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&in, "%d\tnuts %[1]d\t70.%[1]d\n", i)
	}
	conn := as(t, f, database, "root")
	if _, err := conn.PgConn().CopyFrom(t.Context(), &in, `COPY patients (id, allergy, weight) FROM STDIN`); err != nil {
		t.Fatal(err)
	}
	if n := len(dataKeysIn(t, direct)); n != 2*rows {
		t.Fatalf("%d values have keys", n)
	}
	fetched := func() int {
		t.Helper()
		log, err := os.ReadFile(server.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(log, []byte("FROM pgveil.data_keys WHERE id = ANY"))
	}
	const sql = `SELECT id, allergy, weight FROM patients`
	for name, read := range map[string]func() (int64, error){
		"simple": func() (int64, error) {
			all, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
			if err != nil {
				return 0, err
			}
			return all[0].CommandTag.RowsAffected(), nil
		},
		"text": func() (int64, error) {
			r := conn.PgConn().ExecParams(t.Context(), sql, nil, nil, nil, nil).Read()
			return r.CommandTag.RowsAffected(), r.Err
		},
		"binary": func() (int64, error) {
			r := conn.PgConn().ExecParams(t.Context(), sql, nil, nil, nil, []int16{1}).Read()
			return r.CommandTag.RowsAffected(), r.Err
		},
		"copy": func() (int64, error) {
			tag, err := conn.PgConn().CopyTo(t.Context(), io.Discard, `COPY patients (id, allergy, weight) TO STDOUT`)
			return tag.RowsAffected(), err
		},
	} {
		keys.Forget()
		before := fetched()
		n, err := read()
		// A block of the server's, which has 8 kB, holds some forty values.
		if times := fetched() - before; n != rows || err != nil || times == 0 || times > 2*rows/20 {
			t.Errorf("%s: %d rows, %v; the store was asked %d times for the keys of %d values", name, n, err, times, 2*rows)
		} else {
			t.Logf("%s: asked %d times for %d keys", name, times, 2*rows)
		}
	}
}

// A literal that is sealed under a key of its own is written once.
func TestShreddedOnce(t *testing.T) {
	f, database, _, direct := startShredding(t)
	conn := as(t, f, database, "root").PgConn()
	ctx := t.Context()
	if _, err := conn.Prepare(ctx, "s", `INSERT INTO patients (id, allergy) VALUES ($1, 'nuts')`, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecPrepared(ctx, "s", [][]byte{[]byte("1")}, nil, nil).Close(); err != nil {
		t.Fatal(err)
	}
	var e *pgconn.PgError
	if _, err := conn.ExecPrepared(ctx, "s", [][]byte{[]byte("2")}, nil, nil).Close(); !errors.As(err, &e) || e.Code != "0A000" {
		t.Errorf("bound again: %v", err)
	}
	clerk := as(t, f, database, "carla").PgConn()
	for i := range 8 {
		if _, err := clerk.ExecParams(ctx, `INSERT INTO patients (id, allergy) VALUES ($1, 'nuts')`, [][]byte{fmt.Append(nil, 10+i)}, nil, nil, nil).Close(); err != nil {
			t.Errorf("sent again: %v", err)
		}
	}
	ids := dataKeysIn(t, direct)
	slices.Sort(ids)
	if n := len(slices.Compact(ids)); n != 9 {
		t.Errorf("9 values have %d keys", n)
	}
}

// Without its store nothing of a class that shreds is written, and nothing else hindered.
func TestShreddingWithoutStore(t *testing.T) {
	f, database := startVault(t)
	conn := as(t, f, database, "root")
	var e *pgconn.PgError
	if _, err := conn.Exec(t.Context(), `INSERT INTO patients (id, allergy) VALUES (1, 'nuts')`); !errors.As(err, &e) || e.Code != "58000" {
		t.Errorf("error is %v", err)
	}
	run(t, conn, `INSERT INTO patients (id, ward) VALUES (1, 'a')`)
}
