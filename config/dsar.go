package config

import (
	"path/filepath"
	"runtime"
	"strings"
)

// DSAR says how the requests of data subjects are worked on.
type DSAR struct {
	Workers   *int   `yaml:"workers"`   // requests that this process works on at once; absent: 1; 0: those of others do
	Packages  string `yaml:"packages"`  // folder for answers to requests for access; absent: there are none but PRIVACY EXPORT
	Recipient string `yaml:"recipient"` // whom those are encrypted to, as age writes it; absent: they are not

	Ledger           string `yaml:"ledger"`             // file of who was erased; absent: erasures.ledger in audit.dir
	KeyBefore        string `yaml:"key_before"`         // of the ledger: the key file before the one in key
	HoldAfterRestore bool   `yaml:"hold_after_restore"` // statements are refused from when a restore is noticed until its erasures were done again
}

// Running gives how many requests are worked on at once.
func (d *DSAR) Running() int {
	if d.Workers == nil {
		return 1
	}
	return *d.Workers
}

// ErasuresLedger gives the file of who was erased. It is beside the access log,
// and not in the database, so that a restore does not take it back.
func (c *Config) ErasuresLedger() string {
	if c.DSAR.Ledger != "" {
		return c.DSAR.Ledger
	}
	return filepath.Join(c.Audit.Dir, "erasures.ledger")
}

func (d *DSAR) paths() []*string { return []*string{&d.Packages, &d.Ledger, &d.KeyBefore} }

func (d *DSAR) validate(bad func(key, format string, args ...any)) {
	if most := 16 * runtime.NumCPU(); d.Running() < 0 || d.Running() > most {
		bad("dsar.workers", "%d is not a number from 0 to %d", d.Running(), most)
	}
	if d.Recipient != "" && !strings.HasPrefix(d.Recipient, "age1") {
		bad("dsar.recipient", "%q is not a recipient of age: it begins with age1", d.Recipient)
	}
	if d.Recipient != "" && d.Packages == "" {
		bad("dsar.recipient", "is whom packages are encrypted to: dsar.packages is missing")
	}
}
