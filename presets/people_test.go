package presets

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/pgload"
	"github.com/pgveil/pgveil/dsar"
	"github.com/pgveil/pgveil/internal/pgserver"
	"github.com/pgveil/pgveil/internal/pgtest"
	"github.com/pgveil/pgveil/policy"
	"github.com/pgveil/pgveil/privacy"
	"github.com/pgveil/pgveil/state"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// person is one of a preset's rows.sql: her rows have markers ada-N, those of
// somebody else bob-N, and those of both both-N.
type person struct {
	kinds [][2]string // under which she is there: the kind of subject, and the key
	stays []string    // tables in which an erasure leaves something of her, as the preset says
}

var people = map[string]person{
	"chatwoot": {[][2]string{{"contact", "10"}}, nil},
	"corteza":  {[][2]string{{"user", "10"}, {"record", "100"}}, []string{"actionlog"}},
	"espocrm":  {[][2]string{{"contact", "a1"}, {"lead", "a2"}}, nil},
	"odoo":     {[][2]string{{"contact", "10"}}, []string{"account_move"}},
	"suitecrm": {[][2]string{{"contact", "a1"}, {"lead", "a2"}, {"prospect", "a3"}}, nil},
	"twenty":   {[][2]string{{"person", "00000000-0000-4000-8000-000000000010"}}, []string{"opportunity"}},
}

// site is a database with an application's tables, made-up people and the
// policy that the preset gives for it.
type site struct {
	conn *pgx.Conn
	cat  *catalog.Snapshot
	set  *policy.Set
	rows string
}

func newSite(t *testing.T, p *Preset) site {
	t.Helper()
	s := site{conn: pgtest.Connect(t, pgtest.Server(t).DSN(pgtest.Database(t, ""), pgserver.Superuser))}
	rows, err := os.ReadFile(filepath.Join(p.Name, "rows.sql"))
	if err != nil {
		t.Fatal(err)
	}
	s.rows = string(rows)
	for _, script := range []string{state.Schema(), schemaText(t, p), s.rows} {
		if _, err := s.conn.Exec(t.Context(), script); err != nil {
			t.Fatal(err)
		}
	}
	if s.cat, err = pgload.Load(t.Context(), s.conn); err != nil {
		t.Fatal(err)
	}
	fitted, err := p.Fit(s.cat, p.Schema)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(fitted.Files...)
	if err != nil {
		t.Fatal(err)
	}
	if s.set, err = policy.Compile(doc, s.cat); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) graph(t *testing.T, kind string) *dsar.Graph {
	t.Helper()
	g, err := dsar.NewGraph(s.set, s.cat, kind)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// What is held on a person is found wherever the application keeps it, and
// nothing that is somebody else's alone.
func TestFindsAllOfOnePerson(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		s := newSite(t, p)
		var found strings.Builder
		for _, who := range people[p.Name].kinds {
			_, err := dsar.Export(t.Context(), s.conn, s.graph(t, who[0]), privacy.Key{Values: who[1:]}, dsar.ExportOptions{}, func(chunk []byte) error {
				_, err := found.Write(chunk)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(markers(s.rows, "ada|both"), markers(found.String(), "ada|both")); diff != "" {
			t.Errorf("what is found of her (-want +got):\n%s", diff)
		}
		if others := markers(found.String(), "bob"); len(others) > 0 {
			t.Errorf("found of somebody else: %v", others)
		}
	})
}

// An erasure takes what is hers, but for what the preset keeps, and nothing of
// anybody else.
func TestErasesOnePersonAlone(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		s := newSite(t, p)
		for i, who := range people[p.Name].kinds {
			g, o := s.graph(t, who[0]), dsar.EraseOptions{Request: int64(i + 1), Key: privacy.Key{Values: who[1:]}}
			var err error
			if o.Plan, err = dsar.PlanErasure(t.Context(), s.conn, g, o.Key); err != nil {
				t.Fatal(err)
			}
			if _, err = dsar.Erase(t.Context(), s.conn, g, o); err != nil {
				t.Fatalf("%v\n%+v", err, o.Plan)
			}
		}
		var left strings.Builder
		var stays []string
		for _, r := range s.set.Governed() {
			text := s.contents(t, r)
			left.WriteString(text)
			if len(markers(text, "ada")) > 0 {
				stays = append(stays, r.Name)
			}
		}
		if diff := cmp.Diff(markers(s.rows, "bob|both"), markers(left.String(), "bob|both")); diff != "" {
			t.Errorf("what is left of others (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(people[p.Name].stays, stays); diff != "" {
			t.Errorf("where something of her stays (-want +got):\n%s", diff)
		}
	})
}

// contents gives all rows of a table as one text.
func (s *site) contents(t *testing.T, r *catalog.Relation) (text string) {
	t.Helper()
	sql := fmt.Sprintf("SELECT coalesce(string_agg(to_jsonb(t)::text, ' '), '') FROM %s AS t", pgx.Identifier{r.Schema, r.Name}.Sanitize())
	if err := s.conn.QueryRow(t.Context(), sql).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}

// markers gives those of the names, each once.
func markers(text, names string) []string {
	found := regexp.MustCompile(`\b(`+names+`)-\d+`).FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}
