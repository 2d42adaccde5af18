package cases

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/rewrite"
)

// Fixture is a folder with a schema, a policy over it, and rows:
//
//	schema.sql              CREATE TABLE …
//	policy.yaml or policy/  the policy; else the folder's own *.yaml
//	roles.sql               the logins, for a server; may be missing
//	rows.sql, twin.sql      rows, and the same with what is hidden changed
type Fixture struct {
	Dir    string
	Engine *rewrite.Engine
}

// LoadFixture reads a fixture and compiles its policy. Its clock stands still at
// a moment, or goes on where that is zero.
func LoadFixture(dir string, at time.Time) (*Fixture, error) {
	clock := time.Now
	if !at.IsZero() {
		clock = func() time.Time { return at }
	}
	schema, err := os.ReadFile(filepath.Join(dir, "schema.sql"))
	if err != nil {
		return nil, fmt.Errorf("load fixture: %w", err)
	}
	cat, err := ddl.Parse(string(schema))
	if err != nil {
		return nil, fmt.Errorf("load fixture: %s: %w", filepath.Join(dir, "schema.sql"), err)
	}
	doc, err := policy.Load(policyOf(dir))
	if err != nil {
		return nil, fmt.Errorf("load fixture: %w", err)
	}
	set, err := policy.Compile(doc, cat, policy.CheckRows(func(expr string, r *catalog.Relation) error {
		return rewrite.CheckFilter(cat, expr, r)
	}), policy.Clock(clock))
	if err != nil {
		return nil, fmt.Errorf("load fixture: %w", err)
	}
	e := rewrite.New(cat, set, 1<<20)
	e.NameSubjects()
	return &Fixture{Dir: dir, Engine: e}, nil
}

func policyOf(dir string) string {
	for _, name := range []string{"policy.yaml", "policy"} {
		if path := filepath.Join(dir, name); exists(path) {
			return path
		}
	}
	return dir
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// session gives the session that a claim runs in. Its error is a
// *rewrite.Refusal when the policy does not permit it.
func (f *Fixture) session(c policy.Claim, path string) (rewrite.Session, error) {
	access, err := f.Engine.Policy.Decide(c)
	if err != nil {
		return rewrite.Session{}, rewrite.RefuseAccess(err)
	}
	return f.Engine.Session(access, path)
}

// checkNames finds names that the fixture does not have.
func (f *Fixture) checkNames(c *Case) error {
	if err := f.Engine.Policy.CheckNames(c.Claim); err != nil {
		return err
	}
	for _, name := range c.Reveals {
		if !f.hasColumn(name) {
			return fmt.Errorf("reveals %s: there is no such column; write schema.table.column", name)
		}
	}
	return nil
}

func (f *Fixture) hasColumn(name string) bool {
	for _, r := range f.Engine.Catalog.Relations() {
		for _, c := range r.Columns {
			if r.QualifiedName()+"."+c.Name == name {
				return true
			}
		}
	}
	return false
}
