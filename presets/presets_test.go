package presets

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgveil/pgveil/catalog"
	"github.com/pgveil/pgveil/catalog/ddl"
)

// schemaOf gives the catalog of a preset's own tables.
func schemaOf(t *testing.T, p *Preset) *catalog.Snapshot {
	t.Helper()
	return parsed(t, schemaText(t, p))
}

func schemaText(t *testing.T, p *Preset) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(p.Name, "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parsed(t *testing.T, schema string) *catalog.Snapshot {
	t.Helper()
	cat, err := ddl.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	return cat
}

func each(t *testing.T, test func(t *testing.T, p *Preset)) {
	t.Helper()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) { test(t, p) })
	}
}

// Of its own tables a preset names every column, and nothing else.
func TestFitsItsOwnSchema(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		f, err := p.Fit(schemaOf(t, p), p.Schema)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Fitted{Files: f.Files}, *f); diff != "" {
			t.Errorf("the preset and its schema differ:\n%s", diff)
		}
	})
}

// What a database lacks is left out and told, what it has beyond the preset is
// told too, and the rest stays.
func TestFitsAnotherVersion(t *testing.T) {
	p, err := Open("odoo")
	if err != nil {
		t.Fatal(err)
	}
	text := schemaText(t, p)
	for _, gone := range []string{
		`    (mobile|comment|invoice_date) [^,]*,\n`,
		`(?s)CREATE TABLE public\.(mailing_contact|res_partner_bank) \(.*?\);\n`,
		`ALTER TABLE public\.(mailing_contact|res_partner_bank) [^\n]*\n`,
		`ALTER TABLE [^\n]* REFERENCES public\.res_partner_bank[^\n]*\n`,
	} {
		text = regexp.MustCompile(gone).ReplaceAllString(text, "")
	}
	text = strings.Replace(text, "    complete_name character varying,", "    complete_name character varying, x_shoe_size integer,", 1)
	cat := parsed(t, text+"CREATE TABLE public.x_shoes (id integer, owner text, access_token text);")
	f, err := p.Fit(cat, "public")
	if err != nil {
		t.Fatal(err)
	}
	var dropped []string
	for _, d := range f.Dropped {
		if !strings.Contains(d, "res_partner_bank.") && !strings.Contains(d, "mailing_contact.") {
			dropped = append(dropped, d)
		}
	}
	want := Fitted{
		Dropped: []string{
			"class open: public.account_move.invoice_date",
			"class phone: public.res_partner.mobile",
			"class phone: public.crm_lead.mobile",
			"class free_text: public.res_partner.comment",
			"role accountant: public.res_partner_bank",
			"role marketer: public.mailing_contact",
			"subject contact, find_by: public.res_partner.mobile",
			"subject contact, erase: public.account_move.invoice_date",
		},
		Unclassified: []string{"public.res_partner.x_shoe_size"},
		Unknown:      []string{"public.x_shoes"},
	}
	if diff := cmp.Diff(want, Fitted{Dropped: dropped, Unclassified: f.Unclassified, Unknown: f.Unknown}); diff != "" {
		t.Errorf("what differs (-want +got):\n%s", diff)
	}
	for _, file := range f.Files {
		if strings.Contains(file.Text, "res_partner.mobile") || strings.Contains(file.Text, "bank,") {
			t.Errorf("%s names what is not there:\n%s", file.Name, file.Text)
		}
		if !strings.Contains(file.Text, "# ") || strings.Contains(file.Text, "\n\n\n") {
			t.Errorf("%s lost its comments, or is torn apart:\n%s", file.Name, file.Text)
		}
	}
}

// A column of another type than its mask is for keeps the files from compiling,
// not from being written: somebody can mend them.
func TestFitsOtherTypes(t *testing.T) {
	p, err := Open("odoo")
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Fit(parsed(t, strings.Replace(schemaText(t, p), "    amount_total numeric,", "    amount_total double precision,", 1)), "public")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Files) != 4 || len(f.Problems) != 1 || !strings.Contains(f.Problems.Error(), "aggregate(min 10) is not defined for double precision") {
		t.Errorf("%d files, problems: %v", len(f.Files), f.Problems)
	}
}

// A schema of another name, and of one that needs quotes.
func TestFitsAnotherSchema(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		const name = `My "CRM"`
		moved := strings.NewReplacer("SCHEMA "+p.Schema+";", "", " "+p.Schema+".", ` "My ""CRM""".`).Replace(schemaText(t, p))
		f, err := p.Fit(parsed(t, `CREATE SCHEMA "My ""CRM""";`+strings.Replace(moved, "CREATE \n", "", 1)), name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Fitted{Files: f.Files}, *f); diff != "" {
			t.Errorf("the preset and its schema differ:\n%s", diff)
		}
	})
}

func TestFitsNothingElse(t *testing.T) {
	p, err := Open("odoo")
	if err != nil {
		t.Fatal(err)
	}
	cat := parsed(t, "CREATE TABLE public.contacts (id integer PRIMARY KEY, name text);")
	if f, err := p.Fit(cat, "public"); err == nil || !strings.Contains(err.Error(), "has none of the tables in which Odoo keeps people") {
		t.Errorf("Fit = %v, %v", f, err)
	}
	if _, err := Open("oddo"); err == nil || !strings.Contains(err.Error(), `no preset "oddo"`) {
		t.Errorf("Open: %v", err)
	}
}

// Every application is recognised as itself, and as no other.
func TestDetect(t *testing.T) {
	each(t, func(t *testing.T, p *Preset) {
		found, err := Detect(schemaOf(t, p))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 || found[0].Preset.Name != p.Name || found[0].Schema != p.Schema || found[0].Found != len(p.Tables) {
			t.Fatalf("Detect = %+v", found)
		}
		for _, m := range found[1:] {
			if m.Likely() {
				t.Errorf("it is taken for %s too: %d of %d tables", m.Preset.Title, m.Found, m.Of)
			}
		}
	})
}

// The list that people read says what the presets say.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	each(t, func(t *testing.T, p *Preset) {
		line := "| `" + p.Name + "` | " + p.Title + " | " + p.Versions + " | " + p.PostgreSQL + " |\n"
		if !strings.Contains(string(text), line) {
			t.Errorf("README.md lacks the line\n%s", line)
		}
	})
}
