package dsar

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/seal"
)

// shredded notes what is destroyed, and fails as often as it is told to.
type shredded struct {
	ids   []seal.DataKeyID
	fails int
}

func (s *shredded) Destroy(_ context.Context, ids []seal.DataKeyID) (int64, error) {
	if s.fails > 0 {
		s.fails--
		return 0, errors.New("the store is away")
	}
	s.ids = append(s.ids, ids...)
	return int64(len(ids)), nil
}

// sealedUnder seals a value for a column under a data key of that number.
func sealedUnder(t *testing.T, column, stored string, id seal.DataKeyID) []byte {
	t.Helper()
	r, err := seal.NewRing(seal.NewKey("health", seal.Primary, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	with, err := r.Sealer(&policy.Sealed{Sealing: policy.Sealing{Mode: policy.SealRandomized, Shred: true}, Class: "health", Domain: column, Column: column, Stored: stored, Values: "text"})
	if err != nil {
		t.Fatal(err)
	}
	k, _, _, err := r.NewDataKey("health", id)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := with.SealUnder(nil, []byte("nuts"), &k)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

const shreddingPolicy = `
classes:
  open: ["public.customers.id", "public.visits.id", "public.visits.customer_id"]
  health: {columns: [public.customers.allergy, public.visits.notes], seal: randomized, shred: true}
subjects:
  customer: {table: public.customers, key: id, erase: [{on: [public.customers], do: %s}]}
`

// TestEraseShreds destroys the keys of what goes, and of nobody else.
func TestEraseShreds(t *testing.T) {
	const script = `
		CREATE TABLE customers (id int PRIMARY KEY, allergy text);
		CREATE TABLE visits (id int, customer_id int REFERENCES customers, notes bytea) PARTITION BY LIST (id);
		CREATE TABLE visits_rest PARTITION OF visits DEFAULT`
	for _, tt := range []struct {
		customers string
		want      []seal.DataKeyID
	}{
		{"delete", []seal.DataKeyID{100, 1000, 1001, 1002}},
		{"anonymise", []seal.DataKeyID{100, 1000, 1001, 1002}},
	} {
		t.Run(tt.customers, func(t *testing.T) {
			conn, g := erasable(t, script, fmt.Sprintf(shreddingPolicy, tt.customers))
			for c := range 2 {
				_, err := conn.Exec(t.Context(), "INSERT INTO customers VALUES ($1, $2)", c, string(sealedUnder(t, "public.customers.allergy", "text", seal.DataKeyID(100+c))))
				for v := range 3 {
					if err == nil {
						_, err = conn.Exec(t.Context(), "INSERT INTO visits VALUES ($1, $2, $3)", 10*c+v, c, sealedUnder(t, "public.visits.notes", "bytea", seal.DataKeyID(1000+10*c+v)))
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			o := EraseOptions{Request: 1, Key: byKey("0"), Plan: plan(t, conn, g, "0"), Batch: 2}
			_, err := Erase(t.Context(), conn, g, o)
			wantCode(t, err, privacy.NotAvailable, "sealing.data_keys")
			if n := query[int](t, conn, "SELECT count(*)::int FROM visits"); n[0] != 6 {
				t.Errorf("rows are gone whose keys nobody can destroy: %d are left", n[0])
			}
			keys := &shredded{fails: 1}
			o.Shred = keys
			if _, err := Erase(t.Context(), conn, g, o); err == nil {
				t.Error("it is over while keys are there")
			}
			done, err := Erase(t.Context(), conn, g, o)
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(keys.ids)
			if !slices.Equal(keys.ids, tt.want) || done.DataKeys != int64(len(tt.want)) {
				t.Errorf("destroyed %v, told of %d", keys.ids, done.DataKeys)
			}
			if done, err = Erase(t.Context(), conn, g, o); err != nil || len(keys.ids) != len(tt.want) || done.DataKeys != int64(len(tt.want)) {
				t.Errorf("once more: %d, %v", done.DataKeys, err)
			}
		})
	}
}

// TestEraseWithoutTable says what to do where pgveil's tables are from before.
func TestEraseWithoutTable(t *testing.T) {
	conn, g := erasable(t, `CREATE TABLE customers (id int PRIMARY KEY); INSERT INTO customers VALUES (1); DROP TABLE pgveil.erasure_keys`, allOpen(""))
	_, err := Erase(t.Context(), conn, g, EraseOptions{Request: 1, Key: byKey("1"), Plan: plan(t, conn, g, "1")})
	wantCode(t, err, privacy.NotAvailable, "pgveil schema --apply")
}
