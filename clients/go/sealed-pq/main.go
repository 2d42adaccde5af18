// Sealed-pq uses lib/pq through database/sql on sealed columns, with parameters as
// text and in binary form.
package main

import (
	"database/sql"
	"fmt"
	"os"
	"time"

	_ "github.com/lib/pq"
)

func main() {
	for i, dsn := range []string{"", "binary_parameters=yes"} {
		fmt.Printf("# connected with %q\n", dsn)
		if err := run(dsn, i+1); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func run(dsn string, id int) error {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	born, seen := time.Date(1980, 2, 29, 0, 0, 0, 0, time.UTC), time.Date(2001, 2, 3, 4, 5, 6, 700_000_000, time.UTC)
	ssn := fmt.Sprintf("%d-45-6789", id)
	if _, err := db.Exec("INSERT INTO people VALUES ($1, $2, $3, $4, $5, $6, $7)", id, ssn, born, "1234.50", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", seen, "it's a note"); err != nil {
		return err
	}
	stmt, err := db.Prepare("SELECT id, born, income, ref, seen, note FROM people WHERE ssn = $1")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for range 2 {
		var n int
		var day, at time.Time
		var income float64
		var ref string
		var note sql.NullString
		if err := stmt.QueryRow(ssn).Scan(&n, &day, &income, &ref, &at, &note); err != nil {
			return err
		}
		fmt.Println(n, day.Format(time.DateOnly), income, ref, at.UTC(), note.String, note.Valid)
		if _, err := db.Exec("UPDATE people SET note = NULL, born = $1 WHERE ssn = $2", born.AddDate(1, 0, 0), ssn); err != nil {
			return err
		}
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	var count int
	if err := tx.QueryRow("SELECT count(*) FROM people WHERE ref = $1 AND ssn <> $2", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "x").Scan(&count); err != nil {
		return err
	}
	fmt.Println(count)
	return tx.Commit()
}
