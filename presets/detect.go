package presets

import (
	"cmp"
	"slices"

	"github.com/pgveil/pgveil/catalog"
)

// Match is how far a schema of a database looks like an application's.
type Match struct {
	Preset *Preset
	Schema string
	Found  int // tables by which the application is recognised
	Of     int
}

// Likely tells whether the schema is the application's: it has three in four of
// its tables. Versions lack some, and other applications have contacts and
// accounts too.
func (m Match) Likely() bool { return m.Of > 0 && 4*m.Found >= 3*m.Of }

// Detect gives every schema of a database that has tables of an application's
// names, the likeliest first.
func Detect(cat *catalog.Snapshot) ([]Match, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var found []Match
	for _, p := range all {
		found = append(found, p.Detect(cat)...)
	}
	slices.SortStableFunc(found, likelier)
	return found, nil
}

// Detect gives the schemas that have tables of the application's names, the
// likeliest first.
func (p *Preset) Detect(cat *catalog.Snapshot) []Match {
	tables := map[string]int{}
	var schemas []string
	for _, r := range cat.Relations() {
		if !r.Governed() || r.Kind != catalog.Table && r.Kind != catalog.PartitionedTable || !slices.Contains(p.Tables, r.Name) {
			continue
		}
		if tables[r.Schema]++; tables[r.Schema] == 1 {
			schemas = append(schemas, r.Schema)
		}
	}
	slices.Sort(schemas)
	var found []Match
	for _, s := range schemas {
		found = append(found, Match{p, s, tables[s], len(p.Tables)})
	}
	slices.SortStableFunc(found, likelier)
	return found
}

func likelier(a, b Match) int {
	return cmp.Or(cmp.Compare(b.Found*a.Of, a.Found*b.Of), cmp.Compare(b.Found, a.Found))
}
