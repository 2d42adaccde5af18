package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/pgveil/pgveil/audit"
)

// opened is what the log holds sealed of a statement.
type opened struct {
	audit.Contents
	Changed []changed `json:"changed,omitempty"`
}

// changed is one row that the statement changed, or why some are missing.
type changed struct {
	Command  string        `json:"command"`
	Relation string        `json:"relation"`
	Image    audit.Image   `json:"image,omitzero"`
	Values   *audit.Values `json:"values,omitempty"`
	Missing  int64         `json:"missing,omitempty"`
	Why      string        `json:"why,omitempty"`
}

// openImages opens the images of a statement, which stand before its outcome.
func openImages(s *audit.Sealer, dir string, seq uint64) (all []changed, err error) {
	for r, err := range audit.Read(dir, seq+1) {
		switch {
		case err != nil:
			return all, err
		case r.Ref != seq:
			continue
		case r.Kind == audit.KindOutcome:
			return all, nil
		case r.Kind != audit.KindImages:
			continue
		}
		var values []*audit.Values
		if r.Sealed != "" {
			if values, err = s.OpenImages(&r); err != nil {
				return all, err
			}
		}
		for i, image := range values {
			all = append(all, changed{Command: r.Command, Relation: r.Relation, Image: r.Images[i], Values: image})
		}
		if r.Missing != 0 || r.Message != "" {
			all = append(all, changed{Command: r.Command, Relation: r.Relation, Missing: r.Missing, Why: r.Message})
		}
	}
	return all, nil
}

// printImages shows images so that a terminal shows them, too.
func printImages(w io.Writer, all []changed) error {
	var b strings.Builder
	for _, c := range all {
		what := shown(c.Command + " of " + c.Relation)
		switch {
		case c.Missing < 0:
			fmt.Fprintf(&b, "%s: images of any number of rows are missing: %s\n", what, shown(c.Why))
			continue
		case c.Missing > 0:
			fmt.Fprintf(&b, "%s: images of %d rows are missing: %s\n", what, c.Missing, shown(c.Why))
			continue
		case c.Why != "":
			fmt.Fprintf(&b, "%s: there are no %s\n", what, shown(c.Why))
			continue
		}
		doubt := ""
		if c.Image.Doubt {
			doubt = ", the row before is perhaps older than the one that was overwritten"
		}
		fmt.Fprintf(&b, "%s%s\n  before %s\n  after  %s\n", what, doubt, cmp.Or(c.Image.Before, "-"), cmp.Or(c.Image.After, "-"))
		if c.Values == nil {
			b.WriteString("  the values are not kept: too long, or not text\n")
			continue
		}
		for _, part := range []struct {
			name string
			row  map[string]json.RawMessage
		}{{"key", c.Values.Key}, {"was", c.Values.Before}, {"became", c.Values.After}} {
			for _, column := range slices.Sorted(maps.Keys(part.row)) {
				fmt.Fprintf(&b, "  %-6s %s = %s\n", part.name, shown(column), shown(string(part.row[column])))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
