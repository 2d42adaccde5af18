package config

import (
	"cmp"
	"time"
)

// AuditTable says that the access log is to be in the governed database as
// well, where auditors ask it in SQL.
type AuditTable struct {
	Name     string   `yaml:"name"`     // the log's there; absent: audit.origin, or an id made of its first record
	Keep     int      `yaml:"keep"`     // days; what is older is dropped
	Auditors []string `yaml:"auditors"` // roles of the database that may read it

	Batch int           `yaml:"batch"` // records in one transaction at most
	Every time.Duration `yaml:"every"` // how long a record waits for others
}

const (
	maxKeep    = 36500 // days
	maxLogName = 200   // it is part of keys
)

// complete fills in what the file leaves out.
func (t *AuditTable) complete() {
	t.Keep = cmp.Or(t.Keep, 400)
	t.Batch = cmp.Or(t.Batch, 10_000)
	t.Every = cmp.Or(t.Every, time.Second)
}

func (t *AuditTable) validate(bad func(key, format string, args ...any)) {
	if t.Keep < 1 || t.Keep > maxKeep {
		bad("audit.table.keep", "%d is not a number of days", t.Keep)
	}
	if t.Batch < 100 || t.Batch > 1_000_000 {
		bad("audit.table.batch", "%d is not a number from 100 to 1000000", t.Batch)
	}
	if t.Every < 10*time.Millisecond || t.Every > time.Hour {
		bad("audit.table.every", "%v is not a time from 10ms to 1h", t.Every)
	}
	if len(t.Name) > maxLogName {
		bad("audit.table.name", "is longer than %d bytes", maxLogName)
	}
	for _, name := range t.Auditors {
		if name == "" {
			bad("audit.table.auditors", "a role has no name")
		}
	}
}
