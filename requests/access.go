package requests

import (
	"context"
	"encoding/json"

	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

// Packed is the answer to a request for access.
type Packed struct {
	File     string `json:"file"`     // its name, without the folder
	Manifest string `json:"manifest"` // SHA-256 of the package's manifest
	Rows     int64  `json:"rows"`
}

// pack answers a request for access or portability with a package.
func (w *Worker) pack(ctx context.Context, conn *pgx.Conn, r *state.Request) error {
	if w.Package == nil {
		return privacy.Fail(privacy.NotAvailable, "set dsar.packages in the configuration, or use pgveil dsar export", "there is no folder for packages")
	}
	done, err := w.Package(ctx, conn, *r)
	if err != nil {
		return err
	}
	r.Done, r.Todo = done.Rows, done.Rows
	r.Outcome, err = json.Marshal(done)
	return err
}
