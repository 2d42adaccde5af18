package cases

import (
	"fmt"
	"os"
	"path/filepath"

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

// LoadFixture reads a fixture and compiles its policy.
func LoadFixture(dir string) (*Fixture, error) {
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
	}))
	if err != nil {
		return nil, fmt.Errorf("load fixture: %w", err)
	}
	return &Fixture{Dir: dir, Engine: rewrite.New(cat, set, 1<<20)}, nil
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

// session gives the session that a case runs in. Its error is a
// *rewrite.Refusal when the policy does not permit the purpose.
func (f *Fixture) session(c *Case) (rewrite.Session, error) {
	access, err := f.Engine.Policy.Access(c.User, c.Purpose)
	if err != nil {
		return rewrite.Session{}, rewrite.RefuseAccess(err)
	}
	return f.Engine.Session(access, c.SearchPath)
}

// checkNames finds users and columns that the fixture does not have.
func (f *Fixture) checkNames(c *Case) error {
	known := false
	for _, u := range f.Engine.Policy.Users() {
		known = known || u.Name == c.User
	}
	if !known {
		return fmt.Errorf("the policy has no user %q", c.User)
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
