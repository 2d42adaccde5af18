package alert

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgveil/pgveil/policy"
)

// raised is where an event is made.
type raised struct {
	name     string // a "*" at its end stands for what is not said there
	severity string // "" where it is said elsewhere
	at       token.Position
}

// TestKinds holds Kinds to what the code raises: each event has its line, with the
// severity that it is raised with, and each line an event.
func TestKinds(t *testing.T) {
	kinds := Kinds()
	for i, k := range kinds {
		if !regexp.MustCompile(`^[a-z][a-z_]{0,31}$`).MatchString(k.Name) || k.Severity.String() == "none" || k.Meaning == "" || i > 0 && kinds[i-1].Name >= k.Name {
			t.Errorf("%+v is no kind, or has not its place in the order", k)
		}
	}
	used := map[string]bool{}
	for _, r := range raisedIn(t, "..") {
		known := false
		for _, k := range kinds {
			begin, part := strings.CutSuffix(r.name, "*")
			if k.Name != r.name && (!part || begin == "" || !strings.HasPrefix(k.Name, begin)) {
				continue
			}
			known, used[k.Name] = true, true
			if r.severity != "" && !strings.EqualFold(r.severity, k.Severity.String()) {
				t.Errorf("%s: %s is %s, and in Kinds %s", r.at, r.name, r.severity, k.Severity)
			}
		}
		if !known {
			t.Errorf("%s: the event %q is not in alert.Kinds: add a line there and a row to docs/alerts.md", r.at, r.name)
		}
	}
	for _, k := range kinds {
		if !used[k.Name] {
			t.Errorf("nothing raises %s, which is in Kinds", k.Name)
		}
	}
}

// TestSignals has a line for each finding about how somebody behaves, whose names
// are put together. Logins that fail are login_lockout.
func TestSignals(t *testing.T) {
	for s := policy.Signal(1); s < policy.Signals; s++ {
		if s != policy.WatchLoginFailures && Meaning("watch_"+s.String()) == "" {
			t.Errorf("the event watch_%s is not in Kinds", s)
		}
	}
}

// TestDocs holds the table in docs/alerts.md to Kinds.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (notice|warning|critical) \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1)
	var has []string
	for _, r := range rows {
		has = append(has, r[0])
	}
	for _, k := range Kinds() {
		row := "| `" + k.Name + "` | " + k.Severity.String() + " | " + k.Meaning + " |"
		if i := slices.Index(has, row); i >= 0 {
			has = slices.Delete(has, i, i+1)
		} else {
			t.Errorf("docs/alerts.md has no row\n%s", row)
		}
	}
	for _, row := range has {
		t.Errorf("docs/alerts.md has a row that Kinds has not:\n%s", row)
	}
}

// raisedIn finds the events that the code below a folder makes.
func raisedIn(t *testing.T, root string) (all []raised) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			if err == nil {
				err = fs.SkipDir
			}
			return err
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if own := filepath.Dir(path) == filepath.Join(root, "alert"); err != nil || !own && !strings.Contains(string(text), `"github.com/pgveil/pgveil/alert"`) {
			return err
		}
		file, err := parser.ParseFile(files, path, text, 0)
		if err == nil {
			all = append(all, eventsIn(files, file)...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func eventsIn(files *token.FileSet, file *ast.File) (all []raised) {
	isEvent := func(e ast.Expr) bool {
		if s, ok := e.(*ast.SelectorExpr); ok {
			pkg, ok := s.X.(*ast.Ident)
			return ok && pkg.Name == "alert" && s.Sel.Name == "Event"
		}
		id, ok := e.(*ast.Ident)
		return ok && id.Name == "Event" && file.Name.Name == "alert"
	}
	literal := func(l *ast.CompositeLit) {
		if r := eventOf(files, l); r.name != "" { // others get theirs by an assignment
			all = append(all, r)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CompositeLit:
			list, isList := n.Type.(*ast.ArrayType)
			switch {
			case isEvent(n.Type):
				literal(n)
			case isList && isEvent(list.Elt):
				for _, e := range n.Elts {
					if l, ok := e.(*ast.CompositeLit); ok {
						literal(l)
					}
				}
			}
		case *ast.AssignStmt: // e.Name, e.Severity = "limit_near", alert.Notice
			r := raised{at: files.Position(n.Pos())}
			for i, to := range n.Lhs {
				if s, ok := to.(*ast.SelectorExpr); ok && len(n.Lhs) == len(n.Rhs) {
					r.set(s.Sel.Name, n.Rhs[i])
				}
			}
			if r.severity != "" && r.name != "" {
				all = append(all, r)
			}
		}
		return true
	})
	return all
}

func eventOf(files *token.FileSet, l *ast.CompositeLit) raised {
	r := raised{at: files.Position(l.Pos())}
	for _, e := range l.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok {
				r.set(key.Name, kv.Value)
			}
		}
	}
	return r
}

func (r *raised) set(field string, value ast.Expr) {
	switch field {
	case "Name":
		r.name = nameIn(value)
	case "Severity":
		if s, ok := value.(*ast.SelectorExpr); ok {
			r.severity = s.Sel.Name
		} else if id, ok := value.(*ast.Ident); ok && ParseSeverity(strings.ToLower(id.Name)) != 0 && ast.IsExported(id.Name) {
			r.severity = id.Name
		}
	}
}

// nameIn reads a text, or the beginning of one.
func nameIn(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	case *ast.BinaryExpr:
		return nameIn(e.X) + "*"
	}
	return "*"
}
