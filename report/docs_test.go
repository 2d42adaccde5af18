package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The file that the documentation shows is one, and has every key.
func TestDocumentedOrganisation(t *testing.T) {
	text, err := os.ReadFile("../docs/reports.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	path := filepath.Join(t.TempDir(), "acme.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil || !ok {
		t.Fatal(ok, err)
	}
	o, err := LoadOrganisation(path)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name == "" || o.DPO.Phone == "" || o.Zone == "" || len(o.Regimes) != 2 || len(o.Recipients) != 2 || len(o.Transfers) != 1 || len(o.Measures) != 2 || len(o.Erasure) != 1 || o.kind("customer") != "customers of the web shop" {
		t.Errorf("the example is read as %+v", o)
	}
	regimes, err := BuiltinRegimes()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := regimes.Only(o.Regimes); err != nil {
		t.Error(err)
	}
}
