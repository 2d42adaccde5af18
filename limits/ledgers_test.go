package limits_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/pgveil/pgveil/internal/ledgertest"
	"github.com/pgveil/pgveil/limits"
)

func TestMemory(t *testing.T) {
	ledgertest.Run(t, 20, func(t *testing.T) ledgertest.Store {
		var m *limits.Memory
		return ledgertest.Store{Open: func(now func() time.Time) limits.Ledger {
			if m == nil {
				m = limits.NewMemory(now)
			}
			return m
		}}
	})
}

func TestJournal(t *testing.T) {
	ledgertest.Run(t, 5, func(t *testing.T) ledgertest.Store {
		path := filepath.Join(t.TempDir(), "limits")
		return ledgertest.Store{Open: func(now func() time.Time) limits.Ledger {
			j, err := limits.OpenJournal(path, now)
			if err != nil {
				t.Fatal(err)
			}
			return j
		}}
	})
}
