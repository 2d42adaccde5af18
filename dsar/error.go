package dsar

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// withoutValues takes the text off the server's errors about data, which
// quotes the value that does not fit.
func withoutValues(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) || !aboutData(e) {
		return err
	}
	return fmt.Errorf("the server answered SQLSTATE %s", e.Code)
}

func aboutData(e *pgconn.PgError) bool {
	return strings.HasPrefix(e.Code, "22") || strings.HasPrefix(e.Code, "23")
}
