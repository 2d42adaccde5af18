package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// vaultSchema makes a table whose columns are sealed, each in another way.
const vaultSchema = `CREATE TABLE vault (id int PRIMARY KEY, ssn text, iban text, born text, income bytea); GRANT ALL ON vault TO PUBLIC`

// withVault gives the shop's policy with the classes of that table, which sam sees a
// part of.
func withVault(policy string) string {
	return strings.NewReplacer("\nroles:\n", `
  vault:        [public.vault.id]
  vault_ssn:    {columns: [public.vault.ssn], seal: deterministic}
  vault_iban:   {columns: [public.vault.iban], seal: randomized}
  vault_born:   {columns: [public.vault.born], seal: deterministic, type: date}
  vault_income: {columns: [public.vault.income], seal: randomized, type: numeric}

roles:
`, "\n  sales_rep:\n    purposes: [sales]\n    tables:\n", `
  sales_rep:
    purposes: [sales]
    tables:
      - {on: [public.vault], do: [select]}
`, "\nrules:\n", `
rules:
  - {role: sales_rep, for: sales, on: vault,      show: clear}
  - {role: sales_rep, for: sales, on: vault_iban, show: last(4)}
  - {role: sales_rep, for: sales, on: vault_born, show: year}
`).Replace(policy)
}

// keys runs "pgveil keys".
func (s *stage) keys(verb string, classes ...string) error {
	return s.command(append([]string{"keys", verb}, classes...)...)
}

const iban = "DE89370400440532013000"

// seals writes a row, finds it by a sealed value, changes it and deletes it.
func seals(ctx context.Context, conn *pgx.Conn, n int) error {
	id := rand.IntN(1 << 30)
	ssn, born := fmt.Sprintf("%09d", id), time.Date(1950+n%50, 2, 28, 0, 0, 0, 0, time.UTC)
	if _, err := conn.Exec(ctx, "INSERT INTO vault (id, ssn, iban, born, income) VALUES ($1, $2, $3, $4, $5)", id, ssn, iban, born, float64(n)+0.5); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "UPDATE vault SET iban = $1 WHERE ssn = $2", iban, ssn); err != nil {
		return err
	}
	var back string
	var date time.Time
	var income float64
	if err := conn.QueryRow(ctx, "SELECT iban, born, income FROM vault WHERE ssn = $1 AND born = $2", ssn, born).Scan(&back, &date, &income); err != nil {
		return err
	}
	if back != iban || !date.Equal(born) || income != float64(n)+0.5 {
		return fmt.Errorf("sealed values come back as %q, %v, %v", back, date, income)
	}
	_, err := conn.Exec(ctx, "DELETE FROM vault WHERE ssn = $1", ssn)
	return err
}

// sealedCopies copies rows of sealed values in and out.
func sealedCopies(ctx context.Context, conn *pgx.Conn, n int) error {
	first := rand.IntN(1<<30) + 1<<30
	var rows bytes.Buffer
	for i := range 200 {
		fmt.Fprintf(&rows, "%d\t%09d\t%s\t1980-02-29\t%d.50\n", first+i, i, iban, i)
	}
	want := rows.String()
	if _, err := conn.PgConn().CopyFrom(ctx, &rows, "COPY vault FROM STDIN"); err != nil {
		return err
	}
	var got bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &got, fmt.Sprintf("COPY (SELECT * FROM vault WHERE id BETWEEN %d AND %d ORDER BY id) TO STDOUT", first, first+199)); err != nil {
		return err
	}
	if got.String() != want {
		return fmt.Errorf("copied sealed values come back as %.200q", got.String())
	}
	_, err := conn.Exec(ctx, "DELETE FROM vault WHERE id BETWEEN $1 AND $2", first, first+199)
	return err
}

// sealedMasks reads what the caller sees a part of.
func sealedMasks(ctx context.Context, conn *pgx.Conn, n int) error {
	rows, err := conn.Query(ctx, "SELECT iban, born FROM vault LIMIT 50")
	if err != nil {
		return err
	}
	var shown string
	var born time.Time
	_, err = pgx.ForEachRow(rows, []any{&shown, &born}, func() error {
		if want := strings.Repeat("*", len(iban)-4) + iban[len(iban)-4:]; shown != want || born.YearDay() != 1 {
			return fmt.Errorf("sealed values are shown as %q and %v", shown, born)
		}
		return nil
	})
	return err
}
