package policy

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog"
)

func TestParseFilter(t *testing.T) {
	for _, tt := range []struct {
		sql   string
		names string
		want  string // filled in with 'V'
	}{
		{`region = :region`, "region", `region = ('V')`},
		{`a = :x AND b = :x OR c=:y`, "x x y", `a = ('V') AND b = ('V') OR c=('V')`},
		{`id = :id::int`, "id", `id = ('V')::int`},
		{`id::text = :id`, "id", `id::text = ('V')`},
		{`a = ':x' AND b = 'it''s :y'`, "", `a = ':x' AND b = 'it''s :y'`},
		{`a = E'\':x' AND b = :y`, "y", `a = E'\':x' AND b = ('V')`},
		{`a = '\' AND b = :y`, "y", `a = '\' AND b = ('V')`},
		{`a = $$ :x $$ AND b = $q$ :x $$ $q$`, "", `a = $$ :x $$ AND b = $q$ :x $$ $q$`},
		{`":x" = 1 AND "a"":y" = 2`, "", `":x" = 1 AND "a"":y" = 2`},
		{"a -- :x\n= 1", "", "a  \n= 1"},
		{`a /* :x /* :y */ */ = :z`, "z", `a   = ('V')`},
		{`a = 1 -- the end`, "", `a = 1  `},
		{`t[1:2] = :x`, "x", `t[1:2] = ('V')`},
		{`t[1:n] = :x`, "x", `t[1:n] = ('V')`},
		{`a = ANY (ARRAY[:x, :y])`, "x y", `a = ANY (ARRAY[('V'), ('V')])`},
		{`f(a := :x)`, "x", `f(a := ('V'))`},
		{`f(a => :x)`, "x", `f(a => ('V'))`},
		{`price$1 > 2e3`, "", `price$1 > 2e3`},
		{`größe = :g`, "g", `größe = ('V')`},
	} {
		t.Run(tt.sql, func(t *testing.T) {
			f, err := parseFilter(tt.sql)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(f.names, " "); got != tt.names {
				t.Errorf("names are %q, want %q", got, tt.names)
			}
			got, missing := f.sql(map[string]string{"region": "V", "x": "V", "y": "V", "z": "V", "id": "V", "g": "V"})
			if got != tt.want || missing != "" {
				t.Errorf("got %q (missing %q), want %q", got, missing, tt.want)
			}
		})
	}
}

func TestParseFilterRefuses(t *testing.T) {
	for _, sql := range []string{
		``, ` `, `-- nothing`, `a = $1`, `a = $`, `a; b`, "a\x00", "'\x00'", `(a`, `a)`, `(a]`, `a[1`, `'a`, `"a`, `$$ a`, `$x$ a $y$`,
		`/* a`, `/* /* */`, `a = x:y`, `a = 'x':y`, `a : b`, `a = :1`, `a = :x$`, `a = :größe`, "'a'\n'b'", "E'a' -- c\n 'b\\''", `'x' /* */ 'y'`,
	} {
		if f, err := parseFilter(sql); err == nil {
			t.Errorf("parseFilter(%q) = %q, want an error", sql, f.text)
		}
	}
}

func TestFilterLiterals(t *testing.T) {
	f, err := parseFilter("a = :x")
	if err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{
		"EU":       `a = ('EU')`,
		"":         `a = ('')`,
		"it's":     `a = ('it''s')`,
		`\' OR 1`:  `a = (E'\\'' OR 1')`,
		"x\x00":    `false`,
		"' OR ''=": `a = (''' OR ''''=')`,
	} {
		if got, _ := f.sql(map[string]string{"x": value}); got != want {
			t.Errorf("%q is filled in as %s, want %s", value, got, want)
		}
	}
	if got, missing := f.sql(nil); got != "false" || missing != "x" {
		t.Errorf("without the attribute: %q, missing %q", got, missing)
	}
}

func TestCheckRowsSeesEveryRelation(t *testing.T) {
	d, err := Parse(File{"p.yaml", "version: 1\nroles: {r: {tables: [{on: 'crm.order*', rows: 'a = :x'}]}}\n"})
	if err != nil {
		t.Fatal(err)
	}
	var checked []string
	_, err = Compile(d, crm(), CheckRows(func(expr string, r *catalog.Relation) error { checked = append(checked, r.Name+": "+expr); return nil }))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"order_lines: a = ('')", "orders: a = ('')", "orders_2026: a = ('')"}
	if diff := cmp.Diff(want, checked); diff != "" {
		t.Errorf("checked (-want +got):\n%s", diff)
	}
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		name    []string
		want    bool
	}{
		{`crm.customers.email`, []string{"crm", "customers", "email"}, true},
		{`CRM.Customers.EMAIL`, []string{"crm", "customers", "email"}, true},
		{`crm."Customers".email`, []string{"crm", "Customers", "email"}, true},
		{`crm."Customers".email`, []string{"crm", "customers", "email"}, false},
		{`crm."a*".email`, []string{"crm", "ab", "email"}, false},
		{`crm."a""b".x`, []string{"crm", `a"b`, "x"}, true},
		{`crm."a.b".x`, []string{"crm", `a.b`, "x"}, true},
		{`crm.*.email`, []string{"crm", "anything", "email"}, true},
		{`crm.*.email`, []string{"hr", "anything", "email"}, false},
		{`*.*.*_name`, []string{"a", "b", "last_name"}, true},
		{`*.*.*_name`, []string{"a", "b", "_nam"}, false},
		{`a.b.x*y*z`, []string{"a", "b", "x1y2z"}, true},
		{`a.b.x*x`, []string{"a", "b", "x"}, false},
		{`a.b.*a*a*`, []string{"a", "b", "a"}, false},
	} {
		p, err := parsePattern(tt.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.matches(tt.name...); got != tt.want {
			t.Errorf("%s matches %q = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
	order := []string{"*.*.*", "*.*.a*", "*.b*.a*", "*.*.a", "*.b*.a", "s.*.a", "s.b*.a", "s.b.a"}
	ranks := make([]int, len(order))
	for i, text := range order {
		p, err := parsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		ranks[i] = p.rank()
	}
	if !slices.IsSorted(ranks) || len(slices.Compact(slices.Clone(ranks))) != len(ranks) {
		t.Errorf("ranks of %v are %v, want them to rise", order, ranks)
	}
}
